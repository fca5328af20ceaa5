//! The runbook's weekly, monthly and quarterly tasks.

use serde_json::Value;

use super::Sandbox;

fn state(rows: &Value, task: &str) -> String {
    let row = rows.as_array().unwrap().iter().find(|row| row["task"] == task);
    row.unwrap_or_else(|| panic!("no {task} in {rows}"))["state"].as_str().unwrap().to_owned()
}

#[test]
fn what_looks_is_run_and_what_a_person_does_stays_due() {
    let sandbox = Sandbox::up();
    sandbox.line("backup create").code(0);
    let changes = sandbox.answer("history").as_array().unwrap().len();

    let weekly = sandbox.line("maintenance weekly -o json").code(3).json();
    assert_eq!(state(&weekly, "failed-actions"), "OK");
    assert_eq!(state(&weekly, "recovery-drill"), "OK");
    assert_eq!(state(&weekly, "dashboards"), "DUE");
    let done = sandbox.line("maintenance done dashboards --note imported").code(0);
    assert!(done.stdout.contains("done by ana@"), "{done:?}");
    sandbox.line("maintenance weekly").code(0);

    let monthly = sandbox.line("maintenance monthly").code(3);
    for line in
        ["DUE      rotate-keys: Rotate API keys\n         opsctl security rotate-keys --all\n", "OK       backup: "]
    {
        assert!(monthly.stdout.contains(line), "{line}: {monthly:?}");
    }
    let status = sandbox.line("maintenance status -o json").code(3).json();
    assert_eq!((state(&status, "dashboards"), state(&status, "training")), ("DONE".into(), "DUE".into()));
    assert_eq!((state(&status, "backup"), state(&status, "audit-state")), ("OK".into(), "DUE".into()));
    // A week later the week's are due again.
    sandbox.run("sandbox clock advance 8d").code(0);
    let status = sandbox.line("maintenance status -o json").code(3).json();
    assert_eq!((state(&status, "dashboards"), state(&status, "failed-actions")), ("DUE".into(), "DUE".into()));

    sandbox.line("maintenance done dashbords").code(5);
    sandbox.line("maintenance done failed-actions").code(6);
    let after = sandbox.answer("history").as_array().unwrap().len();
    assert_eq!(after, changes, "unattended runs change nothing");
}
