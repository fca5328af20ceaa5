//! `--textfile`: what a check found, for node_exporter's textfile collector.

use std::fmt::Write as _;

use super::{Checked, Item};
use crate::analysis::Verdict;
use crate::wire::Time;

/// The whole file, in OpenMetrics' text that the collector reads too.
pub(super) fn text(checked: &Checked, context: &str, exit: u8, now: Time) -> String {
    let mut page = String::new();
    let check = checked.name;
    let labels = |more: &[(&str, &str)]| {
        let all = [("check", check), ("context", context)];
        let each = all.iter().chain(more).map(|(name, value)| format!("{name}=\"{}\"", escaped(value)));
        each.collect::<Vec<_>>().join(",")
    };
    let mut family = |name: &str, help: &str, samples: Vec<(String, f64)>| {
        if samples.is_empty() {
            return;
        }
        let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} gauge");
        for (labels, value) in samples {
            let _ = writeln!(page, "{name}{{{labels}}} {value}");
        }
    };
    family("opsctl_check_exit_code", "Exit code of the last run.", vec![(labels(&[]), f64::from(exit))]);
    let seconds = (now.0 / 1000) as f64;
    family("opsctl_check_last_run_timestamp_seconds", "When it ran.", vec![(labels(&[]), seconds)]);
    let each = |is: fn(Verdict) -> bool| {
        let sample = |item: &Item| {
            let labels = labels(&[("name", &item.name), ("subject", &item.subject)]);
            (labels, f64::from(u8::from(is(item.verdict))))
        };
        checked.items.iter().map(sample).collect::<Vec<_>>()
    };
    family("opsctl_check_problem", "1 when it is beyond its threshold.", each(Verdict::is_beyond));
    family("opsctl_check_unknown", "1 when nobody could look.", each(|verdict| verdict == Verdict::Unknown));
    let measured = checked.measures.iter().map(|m| {
        let base = if m.unit == "%" { m.value / 100.0 } else { m.value };
        (labels(&[("name", m.label)]), base)
    });
    family("opsctl_check_measured", "What was measured; shares from 0 to 1.", measured.collect());
    page.push_str("# EOF\n");
    page
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::super::Measure;
    use super::*;

    #[test]
    fn families_have_their_samples_together() {
        let item = |name: &str, verdict| Item { name: name.into(), subject: String::new(), verdict };
        let checked = Checked {
            name: "daily",
            verdict: Verdict::Warn,
            said: String::new(),
            measures: vec![Measure { label: "disk", value: 82.0, unit: "%", warn: "80", critical: "90" }],
            items: vec![item("Disk \"a\\b\"", Verdict::Warn), item("Memory", Verdict::Unknown)],
            rule: None,
            told: Verdict::Warn,
        };
        let text = text(&checked, "prod", 3, Time(1_500));
        assert!(text.starts_with(
            "# HELP opsctl_check_exit_code Exit code of the last run.\n# TYPE opsctl_check_exit_code gauge\n\
             opsctl_check_exit_code{check=\"daily\",context=\"prod\"} 3\n"
        ));
        let labels = "check=\"daily\",context=\"prod\",name=";
        assert!(text.contains(&format!("opsctl_check_problem{{{labels}\"Disk \\\"a\\\\b\\\"\",subject=\"\"}} 1\n")));
        assert!(text.contains(&format!("opsctl_check_unknown{{{labels}\"Memory\",subject=\"\"}} 1\n")));
        assert!(text.contains(&format!("opsctl_check_measured{{{labels}\"disk\"}} 0.82\n")));
        assert!(text.ends_with("# EOF\n"));
        assert_eq!(text.matches("# TYPE opsctl_check_problem").count(), 1);
    }
}
