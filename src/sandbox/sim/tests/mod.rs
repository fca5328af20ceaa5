//! The simulators over HTTP.
