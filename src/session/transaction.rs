//! Transactions: several operations that are carried out together or not at all.

use std::time::Duration;

use zookeeper_client as zk;

use super::client::Client;
use super::write::Write;
use crate::error::Failure;

/// Why a transaction was not committed, or may not have been.
#[derive(Debug)]
pub(crate) enum TransactionError {
    /// This operation failed, and nothing was changed.
    Operation { index: usize, source: zk::Error },
    /// The request failed as a whole.
    Request(Failure),
}

impl Client {
    /// Carries out all operations or none, and waits for the answer for at most `limit`. Returns one result for each.
    pub(crate) async fn transact(
        &self,
        writes: &[Write],
        limit: Duration,
    ) -> Result<Vec<zk::MultiWriteResult>, TransactionError> {
        let mut failed = None;
        let request = async {
            self.connection.transact(writes).await.map_err(|error| match error {
                zk::MultiWriteError::RequestFailed { source } => source,
                zk::MultiWriteError::OperationFailed { index, source } => {
                    failed = Some((index, source.clone()));
                    source
                }
            })
        };
        let path = writes.first().map_or("", Write::path);
        let outcome = self.run_within(limit, "write", path, request).await;
        outcome.map_err(|failure| match failed {
            Some((index, source)) => TransactionError::Operation { index, source },
            None => TransactionError::Request(failure),
        })
    }
}
