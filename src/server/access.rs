//! Which role each operation needs, and which need no token at all. One table, so that a forgotten line fails closed.

use axum::http::Method;

use crate::wire::Role;

/// Monitoring URLs that need no token on loopback: they show counts and states, never payloads or error texts.
pub const OPEN_ON_LOOPBACK: [&str; 5] = ["/health", "/metrics", "/queue", "/circuit-breakers", "/api/rate-limits"];

/// Reads that need more than a viewer.
const GUARDED_READS: &[(&str, Role)] = &[
    ("/admin/v1/tokens", Role::Admin),
    ("/admin/v1/security/restore", Role::Admin),
    // Everything that was sent, whole.
    ("/admin/v1/queue/requests", Role::Operator),
];

/// Changes that need less than an admin: M1 and M2 of the verb table. What only looks is for a viewer.
const CHANGES: &[(&str, &str, Role)] = &[
    ("POST", "/admin/v1/actions", Role::Operator),
    ("POST", "/admin/v1/queue/requests", Role::Operator),
    ("POST", "/admin/v1/queue/restore", Role::Operator),
    ("POST", "/admin/v1/queue/retry", Role::Operator),
    ("POST", "/admin/v1/pauses", Role::Operator),
    ("POST", "/admin/v1/pauses/resume", Role::Operator),
    ("POST", "/admin/v1/circuits/{platform}/reset", Role::Operator),
    ("POST", "/admin/v1/executors/{platform}/restart", Role::Operator),
    ("POST", "/admin/v1/components/{component}/restart", Role::Operator),
    ("POST", "/admin/v1/caches/clear", Role::Operator),
    ("DELETE", "/admin/v1/idempotency/keys/{key}", Role::Operator),
    ("POST", "/api/approvals/{id}/approve", Role::Operator),
    ("POST", "/api/approvals/{id}/reject", Role::Operator),
    ("POST", "/admin/v1/backups", Role::Operator),
    ("POST", "/admin/v1/backups/{id}/verify", Role::Operator),
    ("POST", "/admin/v1/drills", Role::Operator),
    ("POST", "/admin/v1/workflows", Role::Operator),
    ("POST", "/admin/v1/workflows/{id}/compensate", Role::Operator),
    ("POST", "/admin/v1/workflows/{id}/resolve", Role::Operator),
    ("POST", "/admin/v1/workflows/{id}/complete", Role::Operator),
    ("POST", "/admin/v1/workflows/{id}/clear-failed", Role::Operator),
    ("POST", "/admin/v1/workflows/{id}/rebuild", Role::Operator),
    ("POST", "/admin/v1/integrity", Role::Viewer),
    ("DELETE", "/admin/v1/jobs/{id}", Role::Operator),
    ("PUT", "/admin/v1/config/{name}", Role::Operator),
    ("DELETE", "/admin/v1/config/{name}", Role::Operator),
    ("POST", "/admin/v1/config/{name}/keep", Role::Operator),
    ("POST", "/admin/v1/config/{name}/back", Role::Operator),
];

/// Whether a method only reads.
pub fn is_read(method: &Method) -> bool {
    method == Method::GET || method == Method::HEAD
}

/// The role an operation needs; `path` is the route's pattern.
pub fn needed(method: &Method, path: &str) -> Role {
    if is_read(method) {
        return GUARDED_READS.iter().find(|(p, _)| *p == path).map_or(Role::Viewer, |(_, role)| *role);
    }
    let listed = CHANGES.iter().find(|(m, p, _)| *m == method.as_str() && *p == path);
    listed.map_or(Role::Admin, |(_, _, role)| *role)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_listed_needs_an_admin() {
        assert_eq!(needed(&Method::GET, "/queue"), Role::Viewer);
        assert_eq!(needed(&Method::POST, "/admin/v1/queue/clear"), Role::Admin);
        assert_eq!(needed(&Method::DELETE, "/admin/v1/queue/items/{id}"), Role::Admin);
        assert_eq!(needed(&Method::PATCH, "/admin/v1/actions"), Role::Admin);
        assert_eq!(needed(&Method::POST, "/admin/v1/pauses"), Role::Operator);
    }
}
