//! The office over HTTP: one suite, run on SQLite and on PostgreSQL.

mod agents;
mod bookings;
mod calls;
mod commands;
mod documents;
mod errors;
mod full_disk;
mod harness;
mod idempotency;
mod live;
mod lost_nodes;
mod phones;
mod recordings;
mod rights;
mod s3;
mod storage;
mod story;
mod trunks;

/// Makes each case a test on SQLite and one on PostgreSQL.
macro_rules! on_both_engines {
    ($($case:ident),+ $(,)?) => {
        $(mod $case {
            #[tokio::test(flavor = "multi_thread")]
            async fn on_sqlite() {
                super::cases::$case(crate::harness::TestApp::sqlite().await).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn on_postgres() {
                if let Some(app) = crate::harness::TestApp::postgres(stringify!($case)).await {
                    super::cases::$case(app).await;
                }
            }
        })+
    };
}
pub(crate) use on_both_engines;
