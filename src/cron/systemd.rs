//! The jobs as systemd services with their timers.

use super::{Call, Scheduled};

/// A file to be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Its name: `opsctl-local-alerts.timer`.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// The name that a job's two units share.
fn stem(context: &str, job: &Scheduled) -> String {
    format!("opsctl-{context}-{}", job.name)
}

/// The timers, for `systemctl enable`.
pub fn unit_names(context: &str, jobs: &[&Scheduled]) -> Vec<String> {
    jobs.iter().map(|job| format!("{}.timer", stem(context, job))).collect()
}

/// A service and a timer for each job.
pub fn units(call: &Call, jobs: &[&Scheduled]) -> Vec<Unit> {
    jobs.iter().flat_map(|job| [service(call, job), timer(call, job)]).collect()
}

fn service(call: &Call, job: &Scheduled) -> Unit {
    let words: Vec<String> = call.words(job).iter().map(|word| quoted(word)).collect();
    let places: String = call
        .places
        .iter()
        .map(|(name, value)| format!("Environment={}\n", quoted(&format!("{name}={value}"))))
        .collect();
    let text = format!(
        "[Unit]\n\
         Description=opsctl {} for {}\n\
         Documentation=man:opsctl-cron(1)\n\
         \n\
         [Service]\n\
         Type=oneshot\n\
         {places}ExecStart={}\n\
         # 3 is a finding, which the check tells by itself.\n\
         SuccessExitStatus=3\n",
        job.line,
        call.context,
        words.join(" ")
    );
    Unit { name: format!("{}.service", stem(&call.context, job)), text }
}

fn timer(call: &Call, job: &Scheduled) -> Unit {
    // What was missed while the machine was off is made up for, unless the next is near.
    let persistent = !matches!(job.name, "alerts" | "health");
    let text = format!(
        "[Unit]\n\
         Description=opsctl {} for {}, {}\n\
         Documentation=man:opsctl-cron(1)\n\
         \n\
         [Timer]\n\
         OnCalendar={}\n\
         AccuracySec=1s\n\
         Persistent={persistent}\n\
         \n\
         [Install]\n\
         WantedBy=timers.target\n",
        job.line, call.context, job.when, job.calendar
    );
    Unit { name: format!("{}.timer", stem(&call.context, job)), text }
}

/// A word as systemd reads it back.
fn quoted(word: &str) -> String {
    let escaped = word.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$");
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,".contains(c);
    if !word.is_empty() && word.chars().all(plain) { escaped } else { format!("\"{escaped}\"") }
}

#[cfg(test)]
mod tests {
    use super::super::SCHEDULE;
    use super::*;

    #[test]
    fn a_word_survives_systemd() {
        assert_eq!(quoted("/usr/bin/opsctl"), "/usr/bin/opsctl");
        assert_eq!(quoted("slack:#ops alerts"), "\"slack:#ops alerts\"");
        assert_eq!(quoted("100%$HOME\"\\"), "\"100%%$$HOME\\\"\\\\\"");
    }

    #[test]
    fn a_job_is_a_service_and_a_timer() {
        let call = Call {
            program: "/usr/bin/opsctl".into(),
            context: "prod".into(),
            more: vec!["--notify".into(), "slack:#ops".into(), "--textfile".into(), "/m/opsctl_NAME.prom".into()],
            places: vec![("OPSCTL_STATE_DIR".into(), "/var/lib/ops ctl".into())],
        };
        let all: Vec<&Scheduled> = SCHEDULE.iter().collect();
        let units = units(&call, &all);
        assert_eq!((units.len(), units[0].name.as_str()), (12, "opsctl-prod-alerts.service"));
        let exec = "ExecStart=/usr/bin/opsctl --context prod cron run alerts --every 1m --timeout 50s -- check alerts \
                    --notify \"slack:#ops\" --textfile /m/opsctl_alerts.prom\n";
        assert!(units[0].text.contains(exec), "{}", units[0].text);
        assert!(units[0].text.contains("Environment=\"OPSCTL_STATE_DIR=/var/lib/ops ctl\"\n"));
        assert!(units[11].text.contains("OnCalendar=Mon *-01,04,07,10-01..07 09:00:00\n"));
        assert_eq!(unit_names("prod", &all)[5], "opsctl-prod-quarterly.timer");
    }
}
