//! Plots as inline SVG: lines and stacked bars over time, and bars of one number each. Colours and dashes come from the
//! page's style; names stand in a legend below, where nothing overlaps.

use std::fmt::Write as _;

use super::html::escaped;

/// Size of a plot in its own units; a page shows it at about one pixel a unit.
const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 200.0;
/// Room around the plotted area.
const TOP: f64 = 10.0;
const RIGHT: f64 = 10.0;
const BOTTOM: f64 = 22.0;
/// Width of a letter of the plot's text, generously.
const LETTER: f64 = 7.2;
/// The same of capitals, as codes are written in.
const CAPITAL: f64 = 8.4;
/// Height of one bar of [`Kind::Bars`] with the space below it.
const BAR: f64 = 22.0;
/// Labels below the time axis at most.
const LABELS: usize = 6;
/// Colours that the style has.
const COLOURS: usize = 5;

/// What a plot looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A line for each series; where nothing is known it is broken.
    Lines,
    /// Bars, the series on top of each other.
    Stacks,
    /// One bar for each place, from the first series alone, with its number.
    Bars,
}

/// One series.
#[derive(Clone, Debug)]
pub struct Series {
    /// Its name for the legend.
    pub name: String,
    /// A value for each place; `None` where nothing is known.
    pub values: Vec<Option<f64>>,
}

/// A plot.
#[derive(Clone, Debug)]
pub struct Plot {
    /// What it shows, with the unit.
    pub title: String,
    /// What it looks like.
    pub kind: Kind,
    /// Names of the places: days, or of the bars.
    pub places: Vec<String>,
    /// The series.
    pub series: Vec<Series>,
    /// A value to compare with and its name; drawn where it is in sight.
    pub mark: Option<(f64, String)>,
    /// Where the axis begins, when not at 0, and where it ends at least.
    pub range: (f64, f64),
    /// How a value is written.
    pub written: fn(f64) -> String,
}

impl Plot {
    /// The picture.
    pub fn svg(&self) -> String {
        match self.kind {
            Kind::Bars => self.bars(),
            Kind::Lines | Kind::Stacks => self.over_time(),
        }
    }

    /// The names of the series and of the mark; nothing where one series speaks for itself.
    pub fn legend(&self) -> String {
        let alone = self.kind == Kind::Bars || self.series.len() < 2;
        let mark = self.mark.as_ref().filter(|_| self.kind != Kind::Bars);
        if alone && mark.is_none() {
            return String::new();
        }
        let mut out = String::from("<ul class=\"legend\">\n");
        let mut entry = |sample: String, name: &str| {
            let picture = format!("<svg viewBox=\"0 0 20 10\" aria-hidden=\"true\">{sample}</svg>");
            let _ = writeln!(out, "<li>{picture}{}</li>", escaped(name));
        };
        for (at, series) in self.series.iter().enumerate() {
            let colour = at % COLOURS;
            entry(
                match self.kind {
                    Kind::Lines => format!("<path class=\"l{colour}\" d=\"M1 5H19\"/>"),
                    _ => format!("<rect class=\"f{colour}\" x=\"4\" width=\"12\" height=\"10\"/>"),
                },
                &series.name,
            );
        }
        if let Some((_, name)) = mark {
            entry("<line class=\"mark\" x1=\"1\" x2=\"19\" y1=\"5\" y2=\"5\"/>".into(), name);
        }
        out.push_str("</ul>\n");
        out
    }

    fn over_time(&self) -> String {
        let (low, high) = (self.range.0, self.highest().max(self.range.1));
        let ticks = ticks(low, high);
        let (low, high) = (ticks[0], ticks[ticks.len() - 1]);
        let labels: Vec<String> = ticks.iter().map(|tick| (self.written)(*tick)).collect();
        let left = labels.iter().map(|label| label.chars().count()).max().unwrap_or(0) as f64 * LETTER + 8.0;
        let area = Area { left, low, high, places: self.places.len().max(1) };
        let mut out = self.opened(HEIGHT);
        for (tick, label) in ticks.iter().zip(&labels) {
            let y = area.y(*tick);
            let class = if *tick == low { "axis" } else { "grid" };
            let _ = write!(
                out,
                "<line class=\"{class}\" x1=\"{left:.1}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>",
                WIDTH - RIGHT
            );
            let _ = write!(
                out,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                left - 6.0,
                y + 4.0,
                escaped(label)
            );
        }
        for (at, name) in self.places.iter().enumerate().step_by(self.places.len().div_ceil(LABELS).max(1)) {
            // A name at the edge ends there.
            let half = name.chars().count() as f64 * LETTER / 2.0;
            let (x, anchor) = match area.x(at) {
                x if x + half > WIDTH => (WIDTH - 1.0, "end"),
                x => (x, "middle"),
            };
            let y = HEIGHT - 6.0;
            let _ = write!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>", escaped(name));
        }
        match self.kind {
            Kind::Stacks => self.stacks(&mut out, &area),
            _ => self.lines(&mut out, &area),
        }
        if let Some((value, _)) = self.mark.as_ref().filter(|(value, _)| (low..=high).contains(value)) {
            let y = area.y(*value);
            let _ = write!(
                out,
                "<line class=\"mark\" x1=\"{left:.1}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>",
                WIDTH - RIGHT
            );
        }
        out.push_str("</svg>");
        out
    }

    fn lines(&self, out: &mut String, area: &Area) {
        for (at, series) in self.series.iter().enumerate() {
            let colour = at % COLOURS;
            let mut path = String::new();
            let mut before = false;
            for (place, value) in series.values.iter().enumerate() {
                let Some(value) = value else {
                    before = false;
                    continue;
                };
                let (x, y) = (area.x(place), area.y(*value));
                let alone = !before && series.values.get(place + 1).copied().flatten().is_none();
                if alone {
                    let _ = write!(out, "<circle class=\"f{colour}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.5\"/>");
                }
                let _ = write!(path, "{}{x:.1} {y:.1}", if before { 'L' } else { 'M' });
                before = true;
            }
            if !path.is_empty() {
                let _ = write!(out, "<path class=\"l{colour}\" d=\"{path}\"/>");
            }
        }
    }

    fn stacks(&self, out: &mut String, area: &Area) {
        let width = (area.slot() * 0.72).max(1.0);
        for place in 0..self.places.len() {
            let mut below = 0.0;
            for (at, series) in self.series.iter().enumerate() {
                let value = series.values.get(place).copied().flatten().unwrap_or(0.0);
                if value > 0.0 {
                    let (top, bottom) = (area.y(below + value), area.y(below));
                    let (x, height) = (area.x(place) - width / 2.0, bottom - top);
                    let colour = at % COLOURS;
                    let _ = write!(
                        out,
                        "<rect class=\"f{colour}\" x=\"{x:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>"
                    );
                }
                below += value;
            }
        }
    }

    /// Names at the left, a bar, and its number behind it.
    fn bars(&self) -> String {
        let values: Vec<f64> = self.series.iter().take(1).flat_map(|s| &s.values).map(|v| v.unwrap_or(0.0)).collect();
        let most = values.iter().copied().fold(self.range.1, f64::max).max(f64::MIN_POSITIVE);
        let written: Vec<String> = values.iter().map(|value| (self.written)(*value)).collect();
        let longest = |texts: &[String]| texts.iter().map(|text| text.chars().count()).max().unwrap_or(0) as f64;
        let (left, right) = (longest(&self.places) * CAPITAL + 10.0, longest(&written) * LETTER + 12.0);
        let mut out = self.opened(self.places.len() as f64 * BAR + 4.0);
        for (at, ((name, value), text)) in self.places.iter().zip(&values).zip(&written).enumerate() {
            let (y, width) = (at as f64 * BAR + 4.0, (WIDTH - left - right) * value / most);
            let baseline = y + 11.0;
            let _ = write!(
                out,
                "<text x=\"{:.1}\" y=\"{baseline:.1}\" text-anchor=\"end\">{}</text>\
                 <rect class=\"f0\" x=\"{left:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"14\"/>\
                 <text class=\"value\" x=\"{:.1}\" y=\"{baseline:.1}\">{}</text>",
                left - 6.0,
                escaped(name),
                width.max(1.0),
                left + width.max(1.0) + 6.0,
                escaped(text)
            );
        }
        out.push_str("</svg>");
        out
    }

    fn opened(&self, height: f64) -> String {
        let last = self.series.iter().filter_map(|series| {
            let value = series.values.iter().rev().flatten().next()?;
            Some(format!("{} {}", series.name, (self.written)(*value)))
        });
        let summary = match self.kind {
            Kind::Bars => self.title.clone(),
            _ => format!("{}; last: {}", self.title, last.collect::<Vec<_>>().join(", ")),
        };
        format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}\">", escaped(&summary))
    }

    fn highest(&self) -> f64 {
        let at = |place: usize| self.series.iter().map(move |series| series.values.get(place).copied().flatten());
        (0..self.places.len())
            .map(|place| match self.kind {
                Kind::Stacks => at(place).flatten().sum::<f64>(),
                _ => at(place).flatten().fold(0.0, f64::max),
            })
            .fold(0.0, f64::max)
    }
}

/// The plotted area.
struct Area {
    left: f64,
    low: f64,
    high: f64,
    places: usize,
}

impl Area {
    fn slot(&self) -> f64 {
        (WIDTH - RIGHT - self.left) / self.places as f64
    }

    /// The middle of a place.
    fn x(&self, place: usize) -> f64 {
        self.left + self.slot() * (place as f64 + 0.5)
    }

    /// A value's height; what is out of range stays at its edge.
    fn y(&self, value: f64) -> f64 {
        let share = ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP)
    }
}

/// Round values from at most `low` to at least `high`: 1, 2 or 5 times a power of ten apart, about four steps.
fn ticks(low: f64, high: f64) -> Vec<f64> {
    let high = if high > low { high } else { low + 1.0 };
    let rough = (high - low) / 4.0;
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| *step >= rough * 0.999);
    let step = step.unwrap_or(rough);
    // Counted from zero, so that rounding leaves no 0.30000000000000004.
    let (first, last) = ((low / step + 1e-9).floor() as i64, (high / step - 1e-9).ceil() as i64);
    (first..=last).map(|n| n as f64 * step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(kind: Kind, values: &[&[Option<f64>]]) -> Plot {
        let series = values.iter().enumerate();
        Plot {
            title: "Actions & more".into(),
            kind,
            places: (1..=values[0].len()).map(|day| format!("Oct {day}")).collect(),
            series: series.map(|(at, v)| Series { name: format!("s{at}"), values: v.to_vec() }).collect(),
            mark: Some((95.0, "target".into())),
            range: (0.0, 0.0),
            written: |value| format!("{value:.0}"),
        }
    }

    #[test]
    fn ticks_are_round_and_hold_what_they_have_to() {
        assert_eq!(ticks(0.0, 87.0), [0.0, 50.0, 100.0]);
        assert_eq!(ticks(0.0, 100.0), [0.0, 50.0, 100.0]);
        assert_eq!(ticks(0.0, 8.0), [0.0, 2.0, 4.0, 6.0, 8.0]);
        assert_eq!(ticks(0.0, 0.0), [0.0, 0.5, 1.0]);
        for (low, high) in [(0.9, 1.0), (0.0, 1234.0), (0.0, 0.003), (12.5, 13.0), (0.0, 5e9)] {
            let ticks = ticks(low, high);
            assert!(ticks[0] <= low + 1e-9 && ticks[ticks.len() - 1] >= high - 1e-9, "{low}..{high}: {ticks:?}");
            assert!((3..=7).contains(&ticks.len()), "{low}..{high}: {ticks:?}");
        }
    }

    #[test]
    fn a_line_is_broken_where_nothing_is_known() {
        let svg = plot(Kind::Lines, &[&[Some(1.0), Some(2.0), None, Some(3.0), None]]).svg();
        assert_eq!(svg.matches("<circle").count(), 1, "the fourth stands alone: {svg}");
        let path = svg.split("<path class=\"l0\" d=\"").nth(1).unwrap().split('"').next().unwrap();
        assert_eq!((path.matches('M').count(), path.matches('L').count()), (2, 1), "{path}");
        assert!(svg.contains("aria-label=\"Actions &amp; more; last: s0 3\""), "{svg}");
    }

    #[test]
    fn stacks_stand_on_each_other_and_end_below_the_highest_tick() {
        let picture = plot(Kind::Stacks, &[&[Some(60.0), None], &[Some(27.0), Some(100.0)]]);
        let svg = picture.svg();
        let tops: Vec<f64> = svg
            .split("<rect ")
            .skip(1)
            .map(|rect| rect.split("y=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap())
            .collect();
        assert_eq!(tops.len(), 3);
        assert!(tops[1] < tops[0] && tops[2] <= tops[1] && tops.iter().all(|y| *y >= TOP), "{tops:?}");
        // The mark is in sight and in the legend.
        assert!(svg.contains("<line class=\"mark\"") && picture.legend().contains("target"));
        assert_eq!(picture.legend().matches("<li>").count(), 3);
    }

    #[test]
    fn bars_carry_their_numbers_and_an_empty_plot_is_still_one() {
        let svg = plot(Kind::Bars, &[&[Some(7.0), Some(0.0)]]).svg();
        assert!(svg.contains(">Oct 1</text>") && svg.contains(">7</text>") && svg.contains(">0</text>"), "{svg}");
        for kind in [Kind::Lines, Kind::Stacks] {
            let svg = plot(kind, &[&[None, None]]).svg();
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }

    #[test]
    fn labels_below_the_axis_leave_each_other_room() {
        let days = vec![Some(1.0); 31];
        let svg = plot(Kind::Stacks, &[&days]).svg();
        assert!((5..=LABELS).contains(&svg.matches(">Oct ").count()), "{svg}");
    }
}
