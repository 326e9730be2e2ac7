//! Orders of the office: taken one by one, done once, answered until the answer is heard.

use std::{collections::HashSet, future::Future, pin::Pin, sync::Arc, time::Duration};

use model::{
    CommandId, NodeId,
    command::{Command, CommandReport, MAX_ORDERS, Outcome},
};
use tokio::sync::mpsc;

use super::{Office, backoff::Backoff};

/// Answers that wait for the office; beyond, orders wait.
const BOUND: usize = 1_000;
/// Orders that are remembered, so that one that comes again is not done again.
const REMEMBERED: usize = 10_000;

/// Does an order and says what came of it.
pub type Carry =
    Arc<dyn Fn(Command) -> Pin<Box<dyn Future<Output = Outcome> + Send>> + Send + Sync>;

/// Follows the office for ever; abort the task to stop. An order is begun at most once in the life
/// of this process, and the office gives an order to one process only.
pub async fn follow_orders(office: Office, node: NodeId, boot: u64, carry: Carry) {
    let (answers, reports) = mpsc::channel(BOUND);
    tokio::spawn(answer(office.clone(), reports));
    let mut known: HashSet<CommandId> = HashSet::new();
    let mut backoff = Backoff::new(office.timing());
    // After a start and after every failure: an answer of the office may have been lost.
    let mut again = true;
    loop {
        let wait = if again {
            Duration::ZERO
        } else {
            office.timing().poll
        };
        let orders = match office.orders(node, boot, again, wait).await {
            Ok(orders) => orders,
            Err(error) => {
                tracing::debug!(%error, "no orders");
                again = true;
                backoff.wait().await;
                continue;
            }
        };
        backoff.reset();
        again = false;
        for command in orders.commands {
            if known.len() >= REMEMBERED {
                known.clear();
            }
            if known.insert(command.id) && !begin(&carry, command, &answers).await {
                return;
            }
        }
    }
}

/// Begins an order beside the others; false when nobody reports any more.
async fn begin(carry: &Carry, command: Command, answers: &mpsc::Sender<CommandReport>) -> bool {
    let Ok(room) = answers.clone().reserve_owned().await else {
        return false;
    };
    let id = command.id;
    let done = carry(command);
    tokio::spawn(async move {
        let outcome = done.await;
        room.send(CommandReport { id, outcome });
    });
    true
}

/// Tells the office, again and again until it has heard.
async fn answer(office: Office, mut reports: mpsc::Receiver<CommandReport>) {
    let mut backoff = Backoff::new(office.timing());
    let mut waiting = Vec::new();
    while reports.recv_many(&mut waiting, MAX_ORDERS).await > 0 {
        while let Err(error) = office.report(&waiting).await {
            if !error.is_transient() {
                tracing::error!(%error, "the office does not take what came of its orders");
                break;
            }
            backoff.wait().await;
        }
        backoff.reset();
        waiting.clear();
    }
}
