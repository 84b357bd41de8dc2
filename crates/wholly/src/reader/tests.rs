use futures_util::FutureExt;
use wholly_core::{LogId, Timestamp};

use super::*;
use crate::clock::Clock;
use crate::engine::Progress;
use crate::log::Log;
use crate::log::memory::MemoryLog;

fn reader() -> (Publisher, Reader, Arc<dyn LogReader>) {
    let open = MemoryLog::default().open().unwrap();
    let threads = Arc::new(Workers::start("test", 1, &Clock::system()).unwrap());
    let (publisher, reader) = Reader::new(open.reader.clone(), Position(7), threads);
    (publisher, reader, open.reader)
}

fn progress(recorded: u64, durable: u64) -> Progress {
    let minted = Minted { identity: LogId::from_bits(1), last_ordinal: recorded };
    Progress { recorded: Position(recorded), durable: Position(durable), minted }
}

#[tokio::test]
async fn a_read_waits_for_what_was_recorded_when_it_began_and_asks_for_it() {
    let (publisher, reader, _) = reader();
    let mut first = Box::pin(reader.recorded_is_durable());
    assert!(first.as_mut().now_or_never().is_none(), "the loop has not begun");
    publisher.publish(progress(7, 7), Vec::new());
    assert_eq!(first.await.unwrap().last_ordinal, 7);
    publisher.publish(progress(9, 7), Vec::new());
    let mut second = Box::pin(reader.recorded_is_durable());
    assert!(second.as_mut().now_or_never().is_none());
    publisher.asked().now_or_never().unwrap();
    assert_eq!(publisher.wanted(), Position(9));
    publisher.publish(progress(10, 8), Vec::new());
    assert!(second.as_mut().now_or_never().is_none());
    publisher.publish(progress(11, 9), Vec::new());
    assert_eq!(second.await.unwrap().last_ordinal, 9, "ids that were minted later may be missing");
}

#[tokio::test]
async fn a_read_goes_on_where_nothing_is_left_to_write() {
    let (publisher, reader, _) = reader();
    publisher.publish(progress(8, 7), Vec::new());
    let mut waits = Box::pin(reader.recorded_is_durable());
    assert!(waits.as_mut().now_or_never().is_none());
    // The buffered records had been written with an earlier batch.
    publisher.publish(progress(7, 7), Vec::new());
    assert!(waits.await.is_some());
}

#[tokio::test]
async fn a_batch_of_the_next_incarnation_is_not_the_one_that_a_read_waits_for() {
    let (publisher, reader, log) = reader();
    let id = TransactionId::mint(0, Timestamp::default(), 0, LogId::from_bits(1));
    publisher.publish(progress(8, 7), Vec::new());
    let (mut waits, mut asks) =
        (Box::pin(reader.recorded_is_durable()), Box::pin(reader.decision(id)));
    assert!(waits.as_mut().now_or_never().is_none() && asks.as_mut().now_or_never().is_none());
    publisher.end();
    publisher.begin_again(log, Position(7));
    publisher.publish(progress(8, 8), Vec::new());
    assert!(waits.await.is_none());
    let told = asks.await;
    assert!(matches!(told, Err(DecisionError::Unavailable { .. })), "{told:?}");
    assert_eq!(reader.decision(id).await.unwrap(), Some(Decision::Aborted));
    drop(publisher);
    let (mut reader, now) = (reader.clone(), reader.durable());
    assert!(reader.durable_until(|durable| durable > now).await.is_none());
}

#[tokio::test]
async fn nothing_is_presumed_once_the_loop_has_ended() {
    let (publisher, reader, _) = reader();
    let id = TransactionId::mint(0, Timestamp::default(), 0, LogId::from_bits(1));
    publisher.publish(progress(8, 8), Vec::new());
    assert_eq!(reader.decision(id).await.unwrap(), Some(Decision::Aborted));
    publisher.end();
    let told = reader.decision(id).await;
    assert!(matches!(told, Err(DecisionError::Unavailable { .. })), "{told:?}");
    assert!(reader.get(id).await.unwrap().is_none());
}
