#[path = "fle/histories.rs"]
mod histories;
mod support;
