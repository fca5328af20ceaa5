//! Settings of the running service: what exists, what holds, what waits for a restart.
//!
//! [`defs`] is the one table of variables. [`ConfigRegistry`] folds default, environment and what was set at run time
//! into one value each, keeps what was set in `settings.json` (secrets in `secrets.json`), and hands the service the
//! typed [`Effective`]. A changed value waits until its part restarts, unless its table line says it holds at once;
//! both values are shown meanwhile. Every variable has an effect or is refused by name with the reason.

mod checks;
mod defs;
mod effective;
mod others;
mod registry;
mod shape;
mod slot;
mod value;

pub use defs::{Def, FALLBACKS, all, find, not_ours};
pub use effective::{Batching, Caching, CircuitSettings, DefaultIds, Effective, PlatformSettings, RateLimit};
pub use others::{OTHERS, Other};
pub use registry::{ConfigRegistry, Expired, SETTINGS_FILE, kept_values};
pub use value::{Kind, Unit};
