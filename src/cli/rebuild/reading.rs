//! Reading a topic up to where every partition is to be folded.

use std::time::Duration;

use futures_util::future::try_join_all;
use indicatif::ProgressBar;
use tokio::time::timeout;

use super::partition::Replay;
use crate::{
    cli::CliError,
    client::{Tail, TailRecord},
    processor::Fold,
};

/// Records that are folded at a time, so that partitions are written side by side.
const PORTION_RECORDS: usize = 10_000;
/// How long the log may be silent while records are due.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Folds records until every partition is where it is to be.
pub(super) async fn read_all<F: Fold>(
    tail: &mut Tail,
    replays: &mut [Replay<F>],
    progress: &ProgressBar,
) -> Result<(), CliError> {
    while replays.iter().any(|replay| replay.left() > 0) {
        let mut taken = Vec::new();
        let first = timeout(SILENCE_MAX, tail.next()).await.map_err(|_| {
            CliError::unavailable(format!(
                "the log gave no record of {} for {} s though records are due; is the broker well?",
                F::KIND.input(),
                SILENCE_MAX.as_secs()
            ))
        })?;
        taken.push(first.ok_or_else(|| CliError::unavailable("the log ended the reading"))??);
        while taken.len() < PORTION_RECORDS
            && let Some(record) = tail.try_next()
        {
            taken.push(record?);
        }
        hand_out(replays, &taken);
        try_join_all(replays.iter_mut().map(Replay::fold)).await?;
        let left: u64 = replays.iter().map(Replay::left).sum();
        progress.set_position(progress.length().unwrap_or(left).saturating_sub(left));
    }
    Ok(())
}

fn hand_out<F: Fold>(replays: &mut [Replay<F>], records: &[TailRecord]) {
    for record in records {
        if let Some(replay) = replays.iter_mut().find(|replay| replay.partition() == record.partition) {
            replay.take(record);
        }
    }
}
