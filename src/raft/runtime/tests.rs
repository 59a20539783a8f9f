//! The runtime against openraft's suite, and what that suite does not ask.

use openraft::AsyncRuntime;
use openraft_rt::testing::Suite;

use super::{Glommio, JoinError};

#[test]
fn passes_the_runtime_suite() {
    Suite::<Glommio>::test_all();
}

#[test]
fn a_panic_ends_its_task_only() {
    Glommio::run(async {
        let failed = Glommio::spawn(async {
            if std::hint::black_box(true) {
                panic!("on purpose");
            }
        });
        let error = failed.await.expect_err("a panicked task has no value");
        assert!(Glommio::is_panic(&error));
        assert!(matches!(error, JoinError::Panicked(text) if text == "on purpose"));
        assert_eq!(Glommio::spawn(async { 7 }).await.ok(), Some(7));
    });
}
