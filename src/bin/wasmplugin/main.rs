//! The `wasmplugin` command.

fn main() {}
