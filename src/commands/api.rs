//! `opsctl api`: any call of the admin API, for what has no verb.

use std::io;

use clap::Args;
use serde::Serialize;
use serde_json::Value;

use crate::app::App;
use crate::error::{Fault, Outcome};
use crate::guard::{ChangeArgs, Plan, ReceiptItem, Step, Undo, UndoAction};
use crate::http::Method;
use crate::output::{Page, Report};

use super::args::read_text;

/// Where the service keeps its OpenAPI document.
const SPEC: &str = "/admin/v1/openapi.json";

/// Call the admin API directly
///
/// METHOD is GET, POST, PUT, PATCH or DELETE, and PATH starts with a slash. Anything but GET is a change like any
/// other: it shows a plan, asks, and leaves a receipt. `opsctl api spec` prints the OpenAPI document, which lists the
/// paths.
///
/// Example: opsctl api POST /admin/v1/queue/retry --data '{"ids":["act-1"]}'
#[derive(Args, Debug)]
pub struct ApiArgs {
    /// GET, POST, PUT, PATCH or DELETE; or `spec`
    #[arg(value_name = "METHOD", value_parser = parse_verb)]
    verb: ApiVerb,

    /// Path with its query: /admin/v1/queue/items?view=failed
    #[arg(value_name = "PATH")]
    path: Option<String>,

    /// Body: JSON, @FILE, or - for stdin
    #[arg(long, value_name = "JSON", allow_hyphen_values = true)]
    data: Option<String>,

    #[command(flatten)]
    change: ChangeArgs,
}

#[derive(Clone, Debug, PartialEq)]
enum ApiVerb {
    Spec,
    Call(Method),
}

fn parse_verb(text: &str) -> Result<ApiVerb, Fault> {
    if text == "spec" {
        return Ok(ApiVerb::Spec);
    }
    let known = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    let found = known.into_iter().find(|m| m.as_str().eq_ignore_ascii_case(text));
    found.map(ApiVerb::Call).ok_or_else(|| {
        Fault::usage(format!("`{text}` is not a method"))
            .because("it is one of GET, POST, PUT, PATCH, DELETE")
            .hint("opsctl api GET /admin/v1, or `opsctl api spec`")
    })
}

impl ApiArgs {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        let method = match (&self.verb, &self.path, &self.data) {
            (ApiVerb::Spec, None, None) => return answer(app, app.orchestrator().await?.raw(SPEC).await?),
            (ApiVerb::Spec, ..) => {
                return Err(Fault::usage("`opsctl api spec` takes no path and no data")
                    .because("it prints the OpenAPI document")
                    .hint("opsctl api GET /admin/v1")
                    .into());
            }
            (ApiVerb::Call(method), ..) => method.clone(),
        };
        let path = checked_path(self.path.as_deref())?;
        let body = self.data.as_deref().map(read_body).transpose()?;
        if method == Method::GET {
            if body.is_some() {
                return Err(Fault::usage("a GET has no body")
                    .because("--data was given")
                    .hint("leave out --data, or name another method")
                    .into());
            }
            return answer(app, app.orchestrator().await?.raw(path).await?);
        }
        let mut step = Step::new(format!("{method} {path}")).undo(Undo::None);
        if let Some(body) = &body {
            // The body may hold a secret: the plan says that there is one, not what it is.
            step = step.because(format!("with a JSON body of {} bytes", body.to_string().len()));
        }
        let plan = Plan::new("api", format!("send {method} {path}"), &self.change).step(step);
        let Some(approval) = app.approve(&plan).await? else { return Ok(Outcome::Done) };
        let reply = app.orchestrator().await?.raw_change(&approval, method, path, body.as_ref()).await?;
        let undo = UndoAction::none("a direct call has no undo of its own");
        app.receipt(&approval, vec![ReceiptItem::applied(path, undo)])?;
        answer(app, reply)
    }
}

fn answer(app: &App, value: Value) -> anyhow::Result<Outcome> {
    app.emit(&Raw(value))?;
    Ok(Outcome::Done)
}

/// Whatever was answered; JSON in text too.
#[derive(Serialize)]
#[serde(transparent)]
struct Raw(Value);

impl Report for Raw {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        page.line(format_args!("{:#}", self.0))
    }
}

/// A path on this orchestrator and nowhere else: the token goes with it.
fn checked_path(path: Option<&str>) -> Result<&str, Fault> {
    let hint = "opsctl api GET /admin/v1";
    let path = path.ok_or_else(|| Fault::usage("a path is missing").because("METHOD needs one").hint(hint))?;
    let refuse = |why: &str| Fault::usage(format!("`{path}` is not a path of the admin API")).because(why).hint(hint);
    if !path.starts_with('/') || path.starts_with("//") {
        return Err(refuse("it has to start with one slash; the address is the context's"));
    }
    if path.contains(['\\', '#', ' ']) || path.chars().any(char::is_control) {
        return Err(refuse("it holds a character that has to be percent-encoded"));
    }
    Ok(path)
}

fn read_body(text: &str) -> Result<Value, Fault> {
    let (place, text) = match text.strip_prefix('@') {
        _ if text == "-" => read_text("-")?,
        Some(file) => read_text(file)?,
        None => ("--data", text.to_owned()),
    };
    // serde_json names line and column.
    serde_json::from_str(&text).map_err(|error| {
        Fault::usage(format!("{place} is not JSON"))
            .because(error.to_string())
            .hint("check the quotes; a long body is easier as --data @FILE")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_never_leads_to_another_host() {
        assert_eq!(checked_path(Some("/admin/v1?x=1")).unwrap(), "/admin/v1?x=1");
        for bad in ["admin/v1", "http://evil.example/", "//evil.example/x", "/\\evil", "/a b", "/a#b"] {
            assert!(checked_path(Some(bad)).is_err(), "{bad}");
        }
        assert!(checked_path(None).is_err());
    }

    #[test]
    fn a_body_that_is_not_json_says_where() {
        assert_eq!(read_body(r#"{"a":1}"#).unwrap()["a"], 1);
        let fault = read_body("{\"a\": 1,\n}").unwrap_err();
        assert!(fault.causes[0].contains("line 2 column 1"), "{:?}", fault.causes);
        assert!(read_body("@/does/not/exist").is_err());
    }

    #[test]
    fn methods_are_a_closed_set() {
        assert_eq!(parse_verb("post").unwrap(), ApiVerb::Call(Method::POST));
        assert_eq!(parse_verb("spec").unwrap(), ApiVerb::Spec);
        assert!(parse_verb("TRACE").unwrap_err().hint.is_some());
    }
}
