//! A choreography, declared: which events a service reacts to, and which it emits.

use std::any::TypeId;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::handler::{Delivered, HandlerError, Incoming, Undone};
use super::observer::{EndedReaction, ReactionObserver};
use super::plan::RetryPolicy;
use crate::Failure;
use crate::declaration::{Declaration, Reaction, Timeout};
use crate::event::Event;
use crate::feed::{Feed, FeedError, FeedInfo, FeedPage, FeedRequest, StartFrom};
use crate::names::{EventType, InvalidName, ReactionName, ServiceName};
use crate::store::Store;

/// A function that reacts to an event in a transaction of a store.
pub trait IntoHandler<S: Store, Types>: 'static {
    /// The function, as the store calls it.
    fn into_handler(self) -> S::Handler;
}

/// A function that records the result of a call in a transaction of a store.
pub trait IntoRecorder<S: Store, C, Types>: 'static {
    /// The function, as the store calls it.
    fn into_handler(self) -> S::Handler;
}

/// A call that a reaction makes to something that is no database.
#[derive(Clone, Debug)]
pub struct CallOut<E> {
    /// The event's data and the event.
    pub incoming: Incoming<E>,
    /// The key of the call: the same however often it is repeated.
    pub idempotency_key: String,
}

pub(crate) type CallFuture = Pin<Box<dyn Future<Output = Result<String, HandlerError>> + Send>>;
pub(crate) type CallFunction = Box<dyn Fn(Event, Undone, String) -> CallFuture + Send + Sync>;
type ReadFuture = Pin<Box<dyn Future<Output = Result<(FeedInfo, FeedPage), FeedError>> + Send>>;

/// A feed that is followed.
#[derive(Clone)]
pub(crate) struct FollowedFeed {
    pub(crate) source: ServiceName,
    pub(crate) start: StartFrom,
    pub(crate) read: Arc<dyn Fn(FeedRequest) -> ReadFuture + Send + Sync>,
}

/// Why a choreography cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidChoreography {
    /// A name is none.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// A part of a reaction was declared before any reaction.
    #[error("{0} belongs to a reaction: declare it after `on`")]
    NoReaction(&'static str),
    /// Two reactions have one name.
    #[error("two reactions are called {0}: give one of them another name with `named`")]
    Twice(ReactionName),
    /// A reaction undoes a function that is no reaction.
    #[error("reaction {0} undoes a function that was not declared before it with `on`")]
    UndoesNothing(ReactionName),
    /// A time-out has no awaited event among the reactions.
    #[error("the time-out {emits} awaits {awaits}, to which the service does not react")]
    AwaitsNothing {
        /// The event of the time-out.
        emits: EventType,
        /// The awaited event.
        awaits: EventType,
    },
    /// Two feeds of one service are followed.
    #[error("the feed of {0} is followed twice")]
    FollowedTwice(ServiceName),
    /// The inbox forgets before the outbox does.
    #[error(
        "the inbox remembers for {inbox:?}, and the outbox keeps events for {outbox:?}: the inbox \
         must remember for longer"
    )]
    Retention {
        /// The inbox's retention.
        inbox: Duration,
        /// The outbox's.
        outbox: Duration,
    },
}

/// A service's part in a choreography: its reactions, with their code.
///
/// Each reaction runs in one transaction of the service's own database, together with the inbox
/// and the outbox; its effect happens once for an event.
#[must_use = "it does nothing until it is started"]
pub struct Choreography<S: Store> {
    declaration: Result<Declaration, InvalidChoreography>,
    pub(super) handlers: Vec<S::Handler>,
    pub(super) calls: Vec<Option<CallFunction>>,
    functions: Vec<[TypeId; 2]>,
    pub(super) followed: Vec<FollowedFeed>,
    pub(super) observer: Option<ReactionObserver>,
    pub(super) settings: ServiceSettings,
}

/// The times for which things are kept, and the way in which failures are dealt with.
#[derive(Clone, Debug)]
pub(crate) struct ServiceSettings {
    pub(crate) retry: RetryPolicy,
    pub(crate) outbox_retention: Duration,
    pub(crate) inbox_retention: Duration,
    pub(crate) unreachable_after: Duration,
    pub(crate) call_timeout: Duration,
    pub(crate) poll: Duration,
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Default for ServiceSettings {
    fn default() -> Self {
        Self {
            retry: RetryPolicy::default(),
            outbox_retention: 7 * DAY,
            inbox_retention: 14 * DAY,
            unreachable_after: DAY,
            call_timeout: Duration::from_secs(60),
            poll: Duration::from_millis(200),
        }
    }
}

impl<S: Store> Choreography<S> {
    /// A service of this name, which is the source of its events.
    pub fn new(service: impl AsRef<str>) -> Self {
        let declaration = ServiceName::new(service).map(|service| Declaration {
            service,
            begins: Vec::new(),
            reactions: Vec::new(),
            timeouts: Vec::new(),
            ends: Vec::new(),
            within: None,
        });
        Self {
            declaration: declaration.map_err(InvalidChoreography::Name),
            handlers: Vec::new(),
            calls: Vec::new(),
            functions: Vec::new(),
            followed: Vec::new(),
            observer: None,
            settings: ServiceSettings::default(),
        }
    }

    /// The service emits such events on its own, in its own transactions.
    pub fn begins(self, event: impl AsRef<str>) -> Self {
        self.declare(|declaration| {
            declaration.begins.push(EventType::new(event)?);
            Ok(())
        })
    }

    /// The service reacts to such events with this function. Its name is the event's type, unless
    /// [`named`](Self::named) otherwise.
    pub fn on<T, H: IntoHandler<S, T>>(self, event: impl AsRef<str>, handler: H) -> Self {
        let function = TypeId::of::<H>();
        self.reaction(event.as_ref(), handler.into_handler(), None, [function; 2])
    }

    /// The service reacts to such events with a call to something that is no database, and then
    /// records its result.
    ///
    /// Before the call, a transaction records that it is out; until its result is recorded, the
    /// later events of the correlation wait. The call is repeated, with the same key, until it
    /// gives a result: no answer is no refusal. A refusal of who is called is a result, too: let
    /// `record` refuse then.
    ///
    /// A call that takes another one back is told in [`Incoming::undone`] what there is to take back.
    /// A database that is put back to an earlier state knows nothing of the calls made since: compare
    /// its books with those of who was called.
    pub fn on_call<E, C, T, F, Fut, R>(self, event: impl AsRef<str>, call: F, record: R) -> Self
    where
        E: DeserializeOwned + Send + 'static,
        C: Serialize + DeserializeOwned + Send + 'static,
        F: Fn(CallOut<E>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<C, Failure>> + Send + 'static,
        R: IntoRecorder<S, C, T>,
    {
        let functions = [TypeId::of::<F>(), TypeId::of::<R>()];
        let call = Arc::new(call);
        let call: CallFunction = Box::new(move |event, undone, idempotency_key| {
            let call = Arc::clone(&call);
            Box::pin(async move {
                let delivered = Delivered { event, undone, called: None };
                let incoming = delivered.read()?;
                let result = call(CallOut { incoming, idempotency_key }).await;
                let result = result.map_err(HandlerError::failed)?;
                serde_json::to_string(&result).map_err(HandlerError::failed)
            })
        });
        self.reaction(event.as_ref(), record.into_handler(), Some(call), functions)
    }

    /// Another name for the last reaction: the inbox keeps it, so it must stay the same for ever.
    pub fn named(self, name: impl AsRef<str>) -> Self {
        self.last("named", |reaction| {
            reaction.name = ReactionName::new(name)?;
            Ok(())
        })
    }

    /// The event that the last reaction emits where it took effect.
    pub fn emits(self, event: impl AsRef<str>) -> Self {
        self.last("emits", |reaction| {
            reaction.emits = Some(EventType::new(event)?);
            Ok(())
        })
    }

    /// The event that the last reaction emits where it refuses.
    pub fn refuses(self, event: impl AsRef<str>) -> Self {
        self.last("refuses", |reaction| {
            reaction.refuses = Some(EventType::new(event)?);
            Ok(())
        })
    }

    /// The last reaction takes this one back, whichever of them comes first.
    pub fn undoes<H: 'static>(mut self, handler: H) -> Self {
        let _ = handler;
        let function = TypeId::of::<H>();
        let functions = std::mem::take(&mut self.functions);
        let built = self.declare(|declaration| {
            let Some((last, earlier)) = declaration.reactions.split_last_mut() else {
                return Err(InvalidChoreography::NoReaction("undoes"));
            };
            let undone = earlier.iter().zip(&functions).filter(|(_, own)| own.contains(&function));
            let before = last.undoes.len();
            last.undoes.extend(undone.map(|(reaction, _)| reaction.name.clone()));
            match last.undoes.len() > before {
                true => Ok(()),
                false => Err(InvalidChoreography::UndoesNothing(last.name.clone())),
            }
        });
        Self { functions, ..built }
    }

    /// The last reaction changes nothing: a refusal of another one leaves nothing of it to undo.
    pub fn read_only(self) -> Self {
        self.last("read_only", |reaction| {
            reaction.read_only = true;
            Ok(())
        })
    }

    /// The service emits `emits` where, this long after an event `after`, none of `awaits` came.
    ///
    /// It reacts to each of the awaited events. The data of the time-out's event is that of `after`.
    pub fn times_out<'a>(
        self,
        after: impl AsRef<str>,
        awaits: impl IntoIterator<Item = &'a str>,
        within: Duration,
        emits: impl AsRef<str>,
    ) -> Self {
        self.declare(|declaration| {
            let awaits = awaits.into_iter().map(EventType::new).collect::<Result<_, _>>()?;
            let (after, emits) = (EventType::new(after)?, EventType::new(emits)?);
            declaration.timeouts.push(Timeout { after, awaits, within, emits });
            Ok(())
        })
    }

    /// The choreography is over with such an event of this service.
    pub fn ends(self, event: impl AsRef<str>) -> Self {
        self.declare(|declaration| {
            declaration.ends.push(EventType::new(event)?);
            Ok(())
        })
    }

    /// The time that the choreography may take as a whole: an observer calls one stuck after it.
    pub fn within(self, time: Duration) -> Self {
        self.declare(|declaration| {
            declaration.within = Some(time);
            Ok(())
        })
    }

    /// The service follows this feed of another one, from its earliest event on.
    pub fn follow(self, source: impl AsRef<str>, feed: impl Feed) -> Self {
        self.follow_from(StartFrom::Earliest, source, feed)
    }

    /// The service follows this feed; where it has not read from it yet, it starts here.
    pub fn follow_from(
        mut self,
        start: StartFrom,
        source: impl AsRef<str>,
        feed: impl Feed,
    ) -> Self {
        let feed = Arc::new(feed);
        let read = Arc::new(move |ask: FeedRequest| {
            let feed = Arc::clone(&feed);
            Box::pin(async move { feed.read(ask).await }) as ReadFuture
        });
        match ServiceName::new(source) {
            Ok(source) if self.followed.iter().any(|one| one.source == source) => {
                self.fail(InvalidChoreography::FollowedTwice(source))
            }
            Ok(source) => {
                self.followed.push(FollowedFeed { source, start, read });
                self
            }
            Err(why) => self.fail(why.into()),
        }
    }

    /// Tells this observer of every reaction that ended, once it is committed.
    ///
    /// It must not block. A crash after the commit leaves it untold, and what an operator drops it
    /// is not told of: what must not be lost is an event.
    pub fn observe(mut self, observer: impl Fn(EndedReaction<'_>) + Send + Sync + 'static) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// Sets the way in which reactions that fail are tried again.
    pub fn retry(mut self, retry: RetryPolicy) -> Self {
        self.settings.retry = retry;
        self
    }

    /// Sets how long published events are kept, and how long the inbox remembers: longer than every
    /// feed that is followed keeps its events. A week and two, unless said otherwise.
    pub fn retention(mut self, outbox: Duration, inbox: Duration) -> Self {
        self.settings.outbox_retention = outbox;
        self.settings.inbox_retention = inbox;
        match inbox > outbox {
            true => self,
            false => self.fail(InvalidChoreography::Retention { inbox, outbox }),
        }
    }

    /// Sets how long a followed feed must be away before a time-out fires without it. A day, unless
    /// said otherwise.
    pub fn unreachable_after(mut self, time: Duration) -> Self {
        self.settings.unreachable_after = time;
        self
    }

    /// Sets how long a call of [`on_call`](Self::on_call) may take. A minute, unless said
    /// otherwise.
    pub fn call_timeout(mut self, time: Duration) -> Self {
        self.settings.call_timeout = time;
        self
    }

    /// The interval at which the outbox is looked at for events that nobody told of: published by
    /// another process, or without [`wake`](super::Service::wake). 200 ms unless set.
    pub fn poll(mut self, interval: Duration) -> Self {
        self.settings.poll = interval;
        self
    }

    /// The service's declaration, to be checked or drawn.
    ///
    /// # Errors
    /// See [`InvalidChoreography`].
    pub fn declaration(&self) -> Result<&Declaration, InvalidChoreography> {
        let declaration = self.declaration.as_ref().map_err(Clone::clone)?;
        for (nth, reaction) in declaration.reactions.iter().enumerate() {
            if declaration.reactions[..nth].iter().any(|one| one.name == reaction.name) {
                return Err(InvalidChoreography::Twice(reaction.name.clone()));
            }
        }
        for timeout in &declaration.timeouts {
            let is_handled =
                |kind: &&EventType| declaration.reactions.iter().any(|r| r.on == **kind);
            if let Some(awaits) = timeout.awaits.iter().find(|kind| !is_handled(kind)) {
                let (emits, awaits) = (timeout.emits.clone(), awaits.clone());
                return Err(InvalidChoreography::AwaitsNothing { emits, awaits });
            }
        }
        Ok(declaration)
    }

    fn reaction(
        mut self,
        event: &str,
        handler: S::Handler,
        call: Option<CallFunction>,
        functions: [TypeId; 2],
    ) -> Self {
        let calls = call.is_some();
        self.handlers.push(handler);
        self.calls.push(call);
        self.functions.push(functions);
        self.declare(|declaration| {
            let (on, name) = (EventType::new(event)?, ReactionName::new(event)?);
            let (emits, refuses, undoes) = (None, None, Vec::new());
            let read_only = false;
            let reaction = Reaction { name, on, emits, refuses, undoes, calls, read_only };
            declaration.reactions.push(reaction);
            Ok(())
        })
    }

    fn last(
        self,
        what: &'static str,
        change: impl FnOnce(&mut Reaction) -> Result<(), InvalidChoreography>,
    ) -> Self {
        self.declare(|declaration| match declaration.reactions.last_mut() {
            Some(reaction) => change(reaction),
            None => Err(InvalidChoreography::NoReaction(what)),
        })
    }

    /// Changes the declaration; the first mistake is kept, and told when it is started.
    fn declare(
        mut self,
        change: impl FnOnce(&mut Declaration) -> Result<(), InvalidChoreography>,
    ) -> Self {
        let changed = match &mut self.declaration {
            Ok(declaration) => change(declaration),
            Err(_) => Ok(()),
        };
        match changed {
            Ok(()) => self,
            Err(why) => self.fail(why),
        }
    }

    fn fail(mut self, why: InvalidChoreography) -> Self {
        if self.declaration.is_ok() {
            self.declaration = Err(why);
        }
        self
    }
}
