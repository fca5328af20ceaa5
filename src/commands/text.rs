//! Numbers as people read them, with their sample and window beside them.

use std::time::Duration;

use crate::analysis::span;
use crate::output::percent;

/// `1,238`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 item`, `1,238 items`.
pub fn counted(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { many })
}

/// How busy workers are, `UNKNOWN` where the engine does not say how many there are.
pub fn busy(share: Option<f64>) -> String {
    share.map_or_else(|| "UNKNOWN".into(), |share| format!("{:.0}%", share * 100.0))
}

/// `part` over `whole`; `None` when there is no whole, because a rate of nothing is not 0 %.
pub fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// `97.3% (1,204 of 1,238)`; says so when there is no sample.
pub fn rate(part: u64, whole: u64) -> String {
    match share(part, whole) {
        Some(rate) => format!("{} ({} of {})", percent(rate), count(part), count(whole)),
        None => "no sample".into(),
    }
}

/// `0.8ms`, `120ms`, `5.2s`, `3m 20s`.
pub fn millis(ms: f64) -> String {
    match ms {
        ..9.95 => format!("{ms:.1}ms"),
        ..999.5 => format!("{ms:.0}ms"),
        ..59_950.0 => format!("{:.1}s", ms / 1000.0),
        _ => span(Duration::from_millis(ms as u64)),
    }
}

/// `31.0 MiB`.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut value = n as f64;
    let mut unit = "B";
    for larger in UNITS {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    if unit == "B" { format!("{n} B") } else { format!("{value:.1} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_separators_and_rates_their_sample() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(rate(1204, 1238), "97.3% (1,204 of 1,238)");
        assert_eq!(rate(0, 0), "no sample");
        assert_eq!((counted(1, "item", "items"), counted(2, "item", "items")), ("1 item".into(), "2 items".into()));
    }

    #[test]
    fn times_and_sizes() {
        assert_eq!([0.84, 119.6, 5210.0, 200_000.0].map(millis), ["0.8ms", "120ms", "5.2s", "3m 20s"]);
        assert_eq!([512, 2048, 33_554_432].map(bytes), ["512 B", "2.0 KiB", "32.0 MiB"]);
    }
}
