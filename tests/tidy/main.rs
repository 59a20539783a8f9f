//! The house rules that a machine can check (DESIGN section 7, ARCHITECTURE.md).
//!
//! Each test reads the tree as text and lists every place that breaks its rule. The tables at the
//! head of each file are the rules: change one together with ARCHITECTURE.md, in a commit that
//! says why.

mod absences;
mod layers;
mod sizes;
mod source;
