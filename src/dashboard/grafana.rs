//! The dashboard as Grafana imports it: the classic JSON model, schema version 39 (Grafana 10.4 and later).
//! <https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/>

use serde_json::{Value, json};

use super::panels::{Group, Kind, Panel, Unit};

/// Version of the JSON model.
const SCHEMA: u32 = 39;
/// Columns of the grid.
const COLUMNS: usize = 24;
/// Lines of a panel, and of the large numbers.
const HEIGHT: usize = 8;
/// Grafana takes the identifier of a dashboard to replace it by the next one.
const UID: &str = "opsctl-runbook";

/// The whole document. Its data source is chosen in Grafana, by the variable at its top.
pub fn draw(panels: &[&Panel]) -> Value {
    let mut drawn = Vec::new();
    let mut y = 0;
    for group in Group::ALL {
        let of_group: Vec<&&Panel> = panels.iter().filter(|panel| panel.group == group).collect();
        if of_group.is_empty() {
            continue;
        }
        drawn.push(json!({
            "id": drawn.len() + 1,
            "type": "row",
            "title": group.title(),
            "collapsed": false,
            "panels": [],
            "gridPos": {"h": 1, "w": COLUMNS, "x": 0, "y": y},
        }));
        y += 1;
        let across = of_group.len().min(4);
        let width = COLUMNS / across;
        for (at, panel) in of_group.iter().enumerate() {
            let (x, line) = (at % across * width, at / across);
            let place = json!({"h": HEIGHT, "w": width, "x": x, "y": y + line * HEIGHT});
            drawn.push(one(panel, drawn.len() + 1, &place));
        }
        y += of_group.len().div_ceil(across) * HEIGHT;
    }
    json!({
        "uid": UID,
        "title": "Orchestrator, by the runbook",
        "description": "Made by `opsctl dashboard refresh`; changes made here are lost with the next import.",
        "tags": ["opsctl", "runbook"],
        "schemaVersion": SCHEMA,
        "version": 1,
        "editable": true,
        "graphTooltip": 1,
        "timezone": "utc",
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timepicker": {},
        "templating": {"list": [{
            "name": "datasource",
            "label": "Prometheus",
            "type": "datasource",
            "query": "prometheus",
            "current": {},
            "hide": 0,
            "includeAll": false,
            "multi": false,
            "options": [],
            "refresh": 1,
            "regex": "",
        }]},
        "annotations": {"list": []},
        "links": [],
        "panels": drawn,
    })
}

fn data_source() -> Value {
    json!({"type": "prometheus", "uid": "${datasource}"})
}

fn one(panel: &Panel, id: usize, place: &Value) -> Value {
    let targets = panel.queries.iter().zip('A'..).map(|((query, legend), letter)| {
        json!({
            "refId": letter.to_string(),
            "datasource": data_source(),
            "expr": query,
            "legendFormat": legend,
            "range": true,
        })
    });
    let (kind, options) = match panel.kind {
        Kind::Stat => (
            "stat",
            json!({
                "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": false},
                "colorMode": "value",
                "graphMode": "area",
                "textMode": "auto",
            }),
        ),
        Kind::Lines => (
            "timeseries",
            json!({
                "legend": {"displayMode": "list", "placement": "bottom", "showLegend": true, "calcs": []},
                "tooltip": {"mode": "multi", "sort": "desc"},
            }),
        ),
        Kind::States => (
            "state-timeline",
            json!({
                "legend": {"displayMode": "list", "placement": "bottom", "showLegend": false},
                "mergeValues": true,
                "showValue": "never",
                "rowHeight": 0.9,
            }),
        ),
    };
    json!({
        "id": id,
        "type": kind,
        "title": panel.title,
        "description": panel.about,
        "gridPos": place,
        "datasource": data_source(),
        "targets": targets.collect::<Vec<_>>(),
        "options": options,
        "fieldConfig": {
            "defaults": {
                "unit": unit(panel.unit),
                "min": 0,
                "color": {"mode": if panel.kind == Kind::Lines { "palette-classic" } else { "thresholds" }},
                "thresholds": {"mode": "absolute", "steps": steps(panel)},
            },
            "overrides": [],
        },
    })
}

fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Count => "short",
        Unit::Share => "percentunit",
        Unit::Seconds => "s",
        Unit::PerSecond => "ops",
    }
}

/// Colours from the lowest value up; the lowest one has none.
fn steps(panel: &Panel) -> Value {
    match panel.bad_from {
        None => json!([{"color": "green", "value": null}]),
        Some((yellow, red)) if red < yellow => json!([
            {"color": "red", "value": null},
            {"color": "yellow", "value": red},
            {"color": "green", "value": yellow},
        ]),
        Some((yellow, red)) if red > yellow => json!([
            {"color": "green", "value": null},
            {"color": "yellow", "value": yellow},
            {"color": "red", "value": red},
        ]),
        Some((_, red)) => json!([{"color": "green", "value": null}, {"color": "red", "value": red}]),
    }
}

#[cfg(test)]
mod tests {
    use super::super::PANELS;
    use super::*;

    #[test]
    fn panels_have_ids_of_their_own_and_do_not_lie_on_each_other() {
        let all: Vec<&Panel> = PANELS.iter().collect();
        let document = draw(&all);
        let panels = document["panels"].as_array().unwrap();
        assert_eq!(panels.len(), PANELS.len() + Group::ALL.len());
        let mut taken = std::collections::HashSet::new();
        for (at, panel) in panels.iter().enumerate() {
            assert_eq!(panel["id"], at + 1);
            let of = |name: &str| panel["gridPos"][name].as_u64().unwrap();
            assert!(of("x") + of("w") <= 24, "{panel}");
            for x in of("x")..of("x") + of("w") {
                for y in of("y")..of("y") + of("h") {
                    assert!(taken.insert((x, y)), "{} lies on another", panel["title"]);
                }
            }
        }
    }

    #[test]
    fn a_row_without_panels_is_not_there_and_falling_thresholds_are_turned() {
        let success = PANELS.iter().find(|panel| panel.name == "success-rate").unwrap();
        let document = draw(&[success]);
        assert_eq!(document["panels"].as_array().unwrap().len(), 2);
        let steps = &document["panels"][1]["fieldConfig"]["defaults"]["thresholds"]["steps"];
        assert_eq!((&steps[0]["color"], &steps[2]["value"]), (&"red".into(), &0.95.into()));
    }
}
