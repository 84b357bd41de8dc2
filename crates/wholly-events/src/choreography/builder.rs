//! The builder of a choreography: a service's reactions with their code, and the feeds it follows.

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

/// A reaction's call to an external system.
#[derive(Clone, Debug)]
pub struct CallOut<E> {
    /// The event's data and the event.
    pub incoming: Incoming<E>,
    /// The idempotency key: the same for every repetition of the call.
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

/// The error of an invalid choreography.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidChoreography {
    /// A name is not valid.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// A part of a reaction was declared before any reaction.
    #[error("`{0}` belongs to a reaction; call it after `on`")]
    NoReaction(&'static str),
    /// Two reactions have one name.
    #[error("two reactions are named {0}; rename one of them with `named`")]
    Twice(ReactionName),
    /// A reaction undoes a function that is not a reaction.
    #[error(
        "reaction {0} undoes a function without a reaction; declare that reaction first with `on`"
    )]
    UndoesNothing(ReactionName),
    /// A time-out awaits an event without a reaction.
    #[error(
        "time-out {emits} awaits {awaits}, but the service does not react to it; add a reaction"
    )]
    AwaitsNothing {
        /// The event of the time-out.
        emits: EventType,
        /// The awaited event.
        awaits: EventType,
    },
    /// Two feeds of one service are followed.
    #[error("the feed of {0} is followed twice; remove one")]
    FollowedTwice(ServiceName),
    /// The inbox's retention is not longer than the outbox's.
    #[error(
        "the inbox's retention is {inbox:?} and the outbox's {outbox:?}; set a longer one for the \
         inbox"
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
/// Each reaction runs in one transaction of the service's database together with inbox and outbox,
/// and takes effect once for each event.
#[must_use = "a choreography does nothing until it is started"]
pub struct Choreography<S: Store> {
    declaration: Result<Declaration, InvalidChoreography>,
    pub(super) handlers: Vec<S::Handler>,
    pub(super) calls: Vec<Option<CallFunction>>,
    functions: Vec<[TypeId; 2]>,
    pub(super) followed: Vec<FollowedFeed>,
    pub(super) observer: Option<ReactionObserver>,
    pub(super) settings: ServiceSettings,
}

/// The service's retention times, time limits and retry policy.
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
    /// A service with this name, which is the source of its events.
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

    /// Declares an event that begins a choreography. The program publishes it itself.
    pub fn begins(self, event: impl AsRef<str>) -> Self {
        self.declare(|declaration| {
            declaration.begins.push(EventType::new(event)?);
            Ok(())
        })
    }

    /// Declares a reaction to an event. Its name is the event's type, unless [`named`](Self::named)
    /// sets another.
    pub fn on<T, H: IntoHandler<S, T>>(self, event: impl AsRef<str>, handler: H) -> Self {
        let function = TypeId::of::<H>();
        self.reaction(event.as_ref(), handler.into_handler(), None, [function; 2])
    }

    /// Declares a reaction that calls an external system and records the call's result.
    ///
    /// A transaction before the call records that it is out. Later events of the correlation wait
    /// until the result is recorded. The call is repeated with the same key until it returns a
    /// result: a missing answer is not a refusal. If the external system refuses, that is a result,
    /// and `record` refuses.
    ///
    /// A call that undoes another one finds the earlier result in [`Incoming::undone`]. A database
    /// restored to an earlier state has lost the calls made since: compare its records with those
    /// of the external system.
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

    /// Sets the last reaction's name. The inbox stores it, so it must never change.
    pub fn named(self, name: impl AsRef<str>) -> Self {
        self.last("named", |reaction| {
            reaction.name = ReactionName::new(name)?;
            Ok(())
        })
    }

    /// Sets the event that the last reaction emits on success.
    pub fn emits(self, event: impl AsRef<str>) -> Self {
        self.last("emits", |reaction| {
            reaction.emits = Some(EventType::new(event)?);
            Ok(())
        })
    }

    /// Sets the event that the last reaction emits on refusal.
    pub fn refuses(self, event: impl AsRef<str>) -> Self {
        self.last("refuses", |reaction| {
            reaction.refuses = Some(EventType::new(event)?);
            Ok(())
        })
    }

    /// Declares that the last reaction undoes this one, whichever event arrives first.
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

    /// Declares that the last reaction changes nothing and needs no undo.
    pub fn read_only(self) -> Self {
        self.last("read_only", |reaction| {
            reaction.read_only = true;
            Ok(())
        })
    }

    /// Declares a time-out: the service emits `emits` if none of `awaits` arrives in this time
    /// after an event `after`.
    ///
    /// The service must react to each awaited event. The emitted event has the data of `after`.
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

    /// Declares an event of this service that ends the choreography.
    pub fn ends(self, event: impl AsRef<str>) -> Self {
        self.declare(|declaration| {
            declaration.ends.push(EventType::new(event)?);
            Ok(())
        })
    }

    /// Sets the longest duration of the whole choreography. `wholly` reports a longer one as stuck.
    pub fn within(self, time: Duration) -> Self {
        self.declare(|declaration| {
            declaration.within = Some(time);
            Ok(())
        })
    }

    /// Follows the feed of another service from its earliest event.
    pub fn follow(self, source: impl AsRef<str>, feed: impl Feed) -> Self {
        self.follow_from(StartFrom::Earliest, source, feed)
    }

    /// Follows the feed of another service. Without a stored cursor, the first read begins at
    /// `start`.
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

    /// Calls this observer after the commit of each ended reaction.
    ///
    /// The observer must not block. It misses reactions whose process crashes after the commit, and
    /// events that an operator drops. Use an event for anything that must not be lost.
    pub fn observe(mut self, observer: impl Fn(EndedReaction<'_>) + Send + Sync + 'static) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// Sets the retry policy of failed reactions.
    pub fn retry(mut self, retry: RetryPolicy) -> Self {
        self.settings.retry = retry;
        self
    }

    /// Sets the retention of outbox and inbox. The inbox's must be longer than that of every
    /// followed feed. The defaults are one week and two.
    pub fn retention(mut self, outbox: Duration, inbox: Duration) -> Self {
        self.settings.outbox_retention = outbox;
        self.settings.inbox_retention = inbox;
        match inbox > outbox {
            true => self,
            false => self.fail(InvalidChoreography::Retention { inbox, outbox }),
        }
    }

    /// Sets the time after which time-outs no longer wait for an unreachable feed. The default is a
    /// day.
    pub fn unreachable_after(mut self, time: Duration) -> Self {
        self.settings.unreachable_after = time;
        self
    }

    /// Sets the time limit of a call of [`on_call`](Self::on_call). The default is a minute.
    pub fn call_timeout(mut self, time: Duration) -> Self {
        self.settings.call_timeout = time;
        self
    }

    /// Sets the interval at which the outbox is polled for events published by another process or
    /// without [`wake`](super::Service::wake). The default is 200 ms.
    pub fn poll(mut self, interval: Duration) -> Self {
        self.settings.poll = interval;
        self
    }

    /// The service's declaration, for checks and diagrams.
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

    /// Changes the declaration. The first error is kept and returned at the start.
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
