//! Times whole processes round-robin: every command once, then every command once more, so that a busy machine slows
//! all of them alike and the ratios hold.
//!
//! `timer [-n ROUNDS] [-r BASE]... < LIST`: LIST has one `name<TAB>command line` a line, run without a shell. The
//! table has the median and the fastest wall time, the median until the first byte of output, and for each BASE (a
//! name) the ratio of the medians to its median.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

struct Case {
    name: String,
    words: Vec<String>,
    whole: Vec<Duration>,
    first: Vec<Duration>,
    code: Option<i32>,
}

fn main() -> Result<(), String> {
    let mut rounds = 21;
    let mut bases = Vec::new();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "-n" => rounds = args.next().and_then(|n| n.parse().ok()).ok_or("-n needs a number")?,
            "-r" => bases.push(args.next().ok_or("-r needs a name")?),
            // What `cargo bench` adds.
            "--bench" => {}
            _ => return Err(format!("unknown argument {arg}")),
        }
    }
    let mut list = String::new();
    std::io::stdin().read_to_string(&mut list).map_err(|e| e.to_string())?;
    let mut cases: Vec<Case> = list.lines().filter_map(case).collect();
    if cases.is_empty() {
        // `cargo bench` runs every bench; this one has nothing to do without a list.
        return Ok(());
    }
    for round in 0..=rounds {
        for case in &mut cases {
            run(case, round > 0)?;
        }
    }
    print(&cases, &bases)
}

fn case(line: &str) -> Option<Case> {
    let (name, command) = line.split_once('\t')?;
    let words = command.split(' ').map(str::to_owned).collect();
    Some(Case { name: name.to_owned(), words, whole: Vec::new(), first: Vec::new(), code: None })
}

/// One run; the first round warms the caches and is not kept.
fn run(case: &mut Case, keep: bool) -> Result<(), String> {
    let failed = |e: std::io::Error| format!("{}: {e}", case.name);
    let started = Instant::now();
    let mut child = Command::new(&case.words[0])
        .args(&case.words[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    let mut out = child.stdout.take().ok_or("no pipe")?;
    let mut buffer = [0; 64 * 1024];
    let mut first = None;
    while out.read(&mut buffer).map_err(failed)? > 0 {
        first.get_or_insert_with(|| started.elapsed());
    }
    let status = child.wait().map_err(failed)?;
    let whole = started.elapsed();
    if keep {
        case.whole.push(whole);
        case.first.push(first.unwrap_or(whole));
        case.code = status.code();
    }
    Ok(())
}

fn print(cases: &[Case], bases: &[String]) -> Result<(), String> {
    let mut text = String::from("| command | ms | fastest | first output | exit |");
    let mut rule = String::from("| --- | ---: | ---: | ---: | ---: |");
    let mut units = Vec::new();
    for name in bases {
        let base = cases.iter().find(|c| c.name == *name).ok_or(format!("no command is named {name}"))?;
        units.push(median(&base.whole).as_secs_f64());
        text.push_str(&format!(" x {name} |"));
        rule.push_str(" ---: |");
    }
    text.push_str(&format!("\n{rule}\n"));
    for case in cases {
        let whole = median(&case.whole);
        let fastest = case.whole.iter().min().copied().unwrap_or_default();
        let exit = case.code.map_or("-".to_owned(), |c| c.to_string());
        text.push_str(&format!(
            "| {} | {} | {} | {} | {exit} |",
            case.name,
            ms(whole),
            ms(fastest),
            ms(median(&case.first))
        ));
        for unit in &units {
            text.push_str(&format!(" {:.2} |", whole.as_secs_f64() / unit));
        }
        text.push('\n');
    }
    std::io::stdout().write_all(text.as_bytes()).map_err(|e| e.to_string())
}

fn median(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted[sorted.len() / 2]
}

fn ms(time: Duration) -> String {
    format!("{:.2}", time.as_secs_f64() * 1000.0)
}
