//! Writes a log like the application's: three days in order, one JSON object a line with its keys sorted, 5 % errors,
//! `notion` in about 30 %, the word `error` in messages that are none, and 54 lines with a text that nothing else has.
//!
//! `log_lines BYTES > FILE`; the same bytes every time.

use std::io::{self, BufWriter, Write};

/// 2026-10-01T00:00:00Z.
const START: i64 = 1_790_812_800_000;
const DAYS: i64 = 3;
/// Bytes of a line, about.
const LINE: u64 = 206;

fn main() -> io::Result<()> {
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    let Some(bytes) = args.next().and_then(|n| n.parse::<u64>().ok()) else { return Ok(()) };
    let mut random = fastrand::Rng::with_seed(5);
    let mut out = BufWriter::with_capacity(1 << 20, io::stdout().lock());
    let lines = bytes / LINE;
    let (mut written, mut number) = (0, 0);
    while written < bytes {
        let ms = START + (DAYS * 86_400_000 * number as i64) / lines as i64;
        let line = line(&mut random, ms, number % (lines / 54).max(1) == 7);
        out.write_all(line.as_bytes())?;
        written += line.len() as u64;
        number += 1;
    }
    out.flush()
}

fn line(random: &mut fastrand::Rng, ms: i64, rare: bool) -> String {
    let pick = |random: &mut fastrand::Rng, from: &[&'static str]| from[random.usize(0..from.len())];
    let platforms = ["notion", "notion", "notion", "trello", "trello", "slack", "slack", "drive", "sheets", "sheets"];
    let platform = pick(random, &platforms);
    let action = pick(random, &["create_page", "update_page", "query_database", "post_message", "append_row"]);
    let (level, code) = match random.u8(0..100) {
        0..5 => {
            let code = pick(random, &["RATE_LIMITED", "TIMEOUT_ERROR", "SERVICE_DOWN", "AUTH_ERROR", "NETWORK_ERROR"]);
            ("error", format!("\"errorCode\":\"{code}\","))
        }
        5..15 => ("warn", String::new()),
        15..35 => ("debug", String::new()),
        _ => ("info", String::new()),
    };
    let said = match (rare, random.u8(0..64)) {
        (true, _) => "gave up: needle-7c1e9a52".to_owned(),
        (_, 0) => "succeeded after an earlier \\\"error\\\"".to_owned(),
        _ => format!("attempt {}", random.u8(1..5)),
    };
    format!(
        "{{\"durationMs\":{},{code}\"level\":\"{level}\",\"message\":\"Action executed: {action} on {platform} {said} \
         request {:012x}\",\"platform\":\"{platform}\",\"timestamp\":\"{}\",\"workflowId\":\"wf-{:08x}\"}}\n",
        random.u32(20..3000),
        random.u64(0..1 << 48),
        time(ms),
        random.u32(0..100_000),
    )
}

fn time(ms: i64) -> String {
    let day = (ms - START) / 86_400_000 + 1;
    let rest = (ms - START) % 86_400_000;
    let (hour, minute, second) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1000 % 60);
    format!("2026-10-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", rest % 1000)
}
