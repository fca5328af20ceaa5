//! What is exported in the caller's shell and changes nothing on the service.

use crate::app::App;
use crate::server::config;
use crate::wire::ConfigEntry;

/// Variables in the caller's shell that differ from the service's: an export here changes nothing there.
pub(super) fn warn_of_exports(app: &App, settings: &[ConfigEntry]) {
    for difference in export_differences(settings, |name| app.settings.env.get(name).map(str::to_owned)) {
        app.output.warn(&difference);
    }
}

/// Whether the service has, or will have after a restart, another value than this one.
pub(in crate::commands) fn differs(setting: &ConfigEntry, here: &str) -> bool {
    if setting.secret {
        return setting.fingerprint.as_deref() != Some(&crate::secret::Secret::new(here).fingerprint());
    }
    let here = config::find(&setting.name).and_then(|def| def.kind.normalise(here).ok()).unwrap_or_else(|| here.into());
    setting.pending.as_deref().or(setting.value.as_deref()) != Some(&here)
}

/// One sentence for each exported variable whose value the service does not use.
fn export_differences(settings: &[ConfigEntry], exported: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut lines = Vec::new();
    for setting in settings {
        let Some(here) = exported(&setting.name).filter(|v| !v.is_empty()) else { continue };
        if !differs(setting, &here) {
            continue;
        }
        if setting.secret {
            lines.push(format!(
                "{} in your shell (sha256 {}) is not the service's ({}); to use it there: opsctl config set {} --value-file FILE",
                setting.name,
                crate::secret::Secret::new(here).fingerprint(),
                setting.fingerprint.as_deref().map_or("unset".to_owned(), |f| format!("sha256 {f}")),
                setting.name,
            ));
            continue;
        }
        let there = setting.pending.as_deref().or(setting.value.as_deref());
        lines.push(format!(
            "{name}={here} in your shell changes nothing on the service, which has {there}; to set it there: opsctl config set {name}={here}",
            name = setting.name,
            there = there.unwrap_or("it unset"),
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{ConfigSource, RestartPart};

    fn setting(name: &str, value: &str, secret: bool) -> ConfigEntry {
        ConfigEntry {
            name: name.into(),
            value: Some(value.into()),
            pending: None,
            source: ConfigSource::Default,
            restart: RestartPart::Workers,
            secret,
            fingerprint: secret.then(|| crate::secret::Secret::new(value).fingerprint()),
            pending_fingerprint: None,
            description: String::new(),
            expires_at: None,
            version: 1,
        }
    }

    #[test]
    fn an_export_that_differs_is_named_with_the_line_that_makes_it_real() {
        let settings = [setting("QUEUE_WORKERS", "5", false), setting("MAX_RETRY_ATTEMPTS", "3", false)];
        let lines = export_differences(&settings, |name| (name == "QUEUE_WORKERS").then(|| "10".into()));
        assert_eq!(lines.len(), 1);
        assert!(lines[0].contains("opsctl config set QUEUE_WORKERS=10"), "{}", lines[0]);
    }

    #[test]
    fn an_export_that_is_the_same_or_already_pending_is_not_named() {
        let mut pending = setting("QUEUE_WORKERS", "5", false);
        pending.pending = Some("10".into());
        assert!(export_differences(&[pending], |_| Some("10".into())).is_empty());
        assert!(export_differences(&[setting("QUEUE_WORKERS", "5", false)], |_| Some("5".into())).is_empty());
    }

    #[test]
    fn a_secret_is_compared_by_fingerprint_and_never_printed() {
        let settings = [setting("NOTION_API_KEY", "ntn_the_services_value", true)];
        let lines = export_differences(&settings, |_| Some("ntn_the_shells_value".into()));
        assert_eq!(lines.len(), 1);
        assert!(!lines[0].contains("ntn_the"), "{}", lines[0]);
        assert!(export_differences(&settings, |_| Some("ntn_the_services_value".into())).is_empty());
    }
}
