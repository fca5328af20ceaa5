pub mod ask;
pub mod files;
pub mod json;
pub mod query;
pub mod read;
pub mod scan;
#[cfg(test)]
mod tests;
pub mod time;
