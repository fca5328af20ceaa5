//! The OpenAPI 3.1 document: what the routes say of themselves, with what they all have in common added in one place.

use std::collections::HashMap;
use std::sync::Arc;

use axum::http::Method;
use bytes::Bytes;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    Components, ContentBuilder, Info, License, OpenApi, Ref, RefOr, Required, ResponseBuilder, ServerBuilder,
};

use super::access::{self, OPEN_ON_LOOPBACK};
use super::changes::HEADER_TEXT_MAX;
use crate::wire::{ErrorBody, HEADER_IDEMPOTENCY_KEY, HEADER_JOURNAL, HEADER_OPERATOR, HEADER_REASON, HEADER_TICKET};

/// Name of the security scheme.
const BEARER: &str = "bearer";

/// The document, and what the gate reads from it.
#[derive(Clone)]
pub struct Document {
    /// As it is served.
    pub json: Bytes,
    /// Query parameters by method and route.
    pub parameters: Arc<HashMap<(Method, String), Vec<String>>>,
}

impl Document {
    /// Whether a route answers a method.
    pub fn has(&self, method: &Method, route: &str) -> bool {
        self.parameters.contains_key(&(method.clone(), route.to_owned()))
    }
}

/// Completes the routes' own document.
pub fn complete(mut api: OpenApi) -> Document {
    let mut info = Info::new("opsctl admin API", env!("CARGO_PKG_VERSION"));
    info.description = Some("The documented orchestrator routes, the monitoring URLs, and administration.".into());
    info.license = Some(License::new("MIT OR Apache-2.0"));
    api.info = info;
    api.servers = Some(vec![ServerBuilder::new().url("/").build()]);
    let components = api.components.get_or_insert_with(Components::new);
    components.add_security_scheme(BEARER, SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    add_schema::<ErrorBody>(components);
    let mut parameters = HashMap::new();
    for (path, item) in &mut api.paths.paths {
        for (method, operation) in operations(item) {
            describe(path, &method, operation);
            parameters.insert((method, path.clone()), query_names(operation));
        }
    }
    // The document is made of plain data; serialising it cannot fail.
    let json = api.to_json().unwrap_or_default();
    Document { json: json.into(), parameters: Arc::new(parameters) }
}

fn add_schema<T: utoipa::ToSchema>(components: &mut Components) {
    let mut schemas = vec![(T::name().into_owned(), T::schema())];
    T::schemas(&mut schemas);
    components.schemas.extend(schemas);
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (Method, &mut Operation)> {
    let all = [
        (Method::GET, item.get.as_mut()),
        (Method::PUT, item.put.as_mut()),
        (Method::POST, item.post.as_mut()),
        (Method::DELETE, item.delete.as_mut()),
    ];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation?)))
}

fn query_names(operation: &Operation) -> Vec<String> {
    let parameters = operation.parameters.iter().flatten();
    let names = parameters.filter_map(|p| match p {
        RefOr::T(p) if p.parameter_in == ParameterIn::Query => Some(p.name.clone()),
        _ => None,
    });
    names.collect()
}

fn describe(path: &str, method: &Method, operation: &mut Operation) {
    let role = access::needed(method, path);
    let mut security = vec![SecurityRequirement::new::<_, [&str; 0], &str>(BEARER, [])];
    let mut needs = format!("Needs the role {role}.");
    if access::is_read(method) && OPEN_ON_LOOPBACK.contains(&path) {
        security.push(SecurityRequirement::default());
        needs = format!("Needs no token on loopback, elsewhere the role {role}.");
    }
    operation.security = Some(security);
    let text = operation.description.take().map_or_else(|| needs.clone(), |d| format!("{d}\n\n{needs}"));
    operation.description = Some(text);

    let mut refusals = vec![
        ("400", "The request is malformed"),
        ("401", "The token is missing, wrong, expired or revoked"),
        ("403", "The token's role is too low, or the Host is foreign"),
        ("429", "Too many requests"),
        ("501", "This orchestrator cannot serve the request"),
        ("503", "Not now; `Retry-After` says when"),
        ("default", "Any other refusal"),
    ];
    if path.contains('{') || !access::is_read(method) {
        refusals.push(("404", "There is no such thing"));
    }
    if !access::is_read(method) {
        refusals.push(("409", "The state does not allow the change, or the key was used for another request"));
        refusals.push(("412", "The version in `If-Match` moved"));
        refusals.push(("413", "The body is too large"));
        refusals.push(("415", "The body is not JSON"));
        let parameters = operation.parameters.get_or_insert_default();
        parameters.extend(change_headers().map(RefOr::T));
    }
    for (status, text) in refusals {
        let body = ContentBuilder::new().schema(Some(Ref::from_schema_name("ErrorBody"))).build();
        let response = ResponseBuilder::new().description(text).content("application/json", body).build();
        operation.responses.responses.entry(status.to_owned()).or_insert_with(|| response.into());
    }
}

/// Printable ASCII.
const PRINTABLE: &str = "^[ -~]*$";

fn change_headers() -> impl Iterator<Item = Parameter> {
    let headers = [
        (HEADER_IDEMPOTENCY_KEY, "A retry with the same key gets the first answer", 255, PRINTABLE),
        ("if-match", "The version that was read; 412 when it moved", 21, "^([0-9]{1,19}|\"[0-9]{1,19}\"|[*])$"),
        (HEADER_REASON, "Why, for the audit log; percent-encoded UTF-8", HEADER_TEXT_MAX, PRINTABLE),
        (HEADER_TICKET, "Ticket reference, for the audit log; percent-encoded UTF-8", HEADER_TEXT_MAX, PRINTABLE),
        (HEADER_JOURNAL, "Newest line of the caller's journal, for the audit log", HEADER_TEXT_MAX, PRINTABLE),
        (HEADER_OPERATOR, "On whose behalf the token is used; percent-encoded UTF-8", HEADER_TEXT_MAX, PRINTABLE),
    ];
    headers.into_iter().map(|(name, text, length, pattern)| {
        let schema = ObjectBuilder::new()
            .schema_type(Type::String)
            .min_length((name == HEADER_IDEMPOTENCY_KEY).then_some(1))
            .max_length(Some(length))
            .pattern(Some(pattern));
        ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some(text))
            .schema(Some(schema))
            .build()
    })
}
