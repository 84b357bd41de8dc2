//! The graph of a choreography: events trigger reactions, and reactions emit events.
//!
//! A declaration does not say which reactions wait for each other (a *join*). The graph assumes a
//! join of concurrent reactions of one service that emit the same event and all run on success,
//! because the event would occur several times otherwise. All other reactions are alternatives.

use std::collections::{HashMap, VecDeque};

use crate::declaration::{Declaration, Reaction, Timeout};
use crate::names::EventType;

/// The largest number of reactions, time-outs and beginnings. The running time grows with its
/// square.
pub(crate) const LIMIT: usize = 1_000;

/// The index of an event in [`EventGraph::events`].
pub(crate) type EventIndex = usize;

/// The index of a reaction in [`EventGraph::nodes`].
pub(crate) type NodeIndex = usize;

/// The graph of several declarations.
pub(crate) struct EventGraph<'a> {
    pub declarations: &'a [Declaration],
    pub events: Vec<&'a EventType>,
    pub nodes: Vec<ReactionOf<'a>>,
    pub timeouts: Vec<TimeoutOf<'a>>,
    /// The reactions to each event.
    pub reactions_to: Vec<Vec<NodeIndex>>,
    /// The events that begin a choreography, each with the index of its service.
    pub begins: Vec<(usize, EventIndex)>,
    /// The events that follow from each event, with their cause.
    leads: Vec<Vec<(EventCause, EventIndex)>>,
}

/// A reaction with its service and the indices of its events.
pub(crate) struct ReactionOf<'a> {
    /// The index of the service's declaration.
    pub service: usize,
    pub reaction: &'a Reaction,
    pub on: EventIndex,
    pub emits: Option<EventIndex>,
    pub refuses: Option<EventIndex>,
}

/// A time-out with its service and the indices of its events.
pub(crate) struct TimeoutOf<'a> {
    /// The index of the service's declaration.
    pub service: usize,
    pub timeout: &'a Timeout,
    pub after: EventIndex,
    pub awaits: Vec<EventIndex>,
    pub emits: EventIndex,
}

/// The cause by which one event follows from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EventCause {
    Success(NodeIndex),
    Refusal(NodeIndex),
    TimeOut,
}

/// The reactions that run and the events that occur after an event.
pub(crate) struct Reach {
    pub runs: Vec<bool>,
    pub occurs: Vec<bool>,
}

impl<'a> EventGraph<'a> {
    /// Builds the graph; `None` if the declarations exceed [`LIMIT`].
    pub(crate) fn new(declarations: &'a [Declaration]) -> Option<Self> {
        let sizes = declarations
            .iter()
            .map(|one| one.begins.len() + one.reactions.len() + one.timeouts.len());
        (sizes.sum::<usize>() <= LIMIT).then(|| GraphBuilder::default().build(declarations))
    }

    pub(crate) fn declaration(&self, node: NodeIndex) -> &'a Declaration {
        &self.declarations[self.nodes[node].service]
    }

    /// For each event, true if a service emits it.
    pub(crate) fn emitted(&self) -> Vec<bool> {
        let mut emitted = vec![false; self.events.len()];
        let led_to = self.leads.iter().flatten().map(|(_, event)| *event);
        self.begins
            .iter()
            .map(|(_, event)| *event)
            .chain(led_to)
            .for_each(|event| emitted[event] = true);
        emitted
    }

    /// True if a service declares the event as an end.
    pub(crate) fn is_end(&self, event: EventIndex) -> bool {
        self.declarations.iter().any(|one| one.ends.contains(self.events[event]))
    }

    /// The consequences of an event by the causes that `may` allows.
    pub(crate) fn reach(
        &self,
        from: EventIndex,
        joins: &Joins,
        may: impl Fn(EventCause) -> bool,
    ) -> Reach {
        let (nodes, events) = (self.nodes.len(), self.events.len());
        let mut reach = Reach { runs: vec![false; nodes], occurs: vec![false; events] };
        let mut missing = joins.sizes.clone();
        let mut next = vec![from];
        while let Some(event) = next.pop() {
            if std::mem::replace(&mut reach.occurs[event], true) {
                continue;
            }
            for &node in &self.reactions_to[event] {
                reach.runs[node] = true;
            }
            for &(cause, to) in self.leads[event].iter().filter(|(cause, _)| may(*cause)) {
                if let Some(join) = joins.of(cause) {
                    missing[join] -= 1;
                    if missing[join] > 0 {
                        continue;
                    }
                }
                next.push(to);
            }
        }
        reach
    }

    /// The consequences of an event by successes alone, without joins.
    pub(crate) fn successes(&self, from: EventIndex) -> Reach {
        self.reach(from, &Joins::default(), |cause| matches!(cause, EventCause::Success(_)))
    }

    /// A shortest path from one event to another, as causes and events.
    pub(crate) fn shortest_path(
        &self,
        from: EventIndex,
        to: EventIndex,
        may: impl Fn(EventCause) -> bool,
    ) -> Option<Vec<(EventCause, EventIndex)>> {
        // The cause of each event, and the event before it.
        let mut came: HashMap<EventIndex, (EventCause, EventIndex)> = HashMap::new();
        let mut next = VecDeque::from([from]);
        while let Some(event) = next.pop_front() {
            if event == to {
                break;
            }
            for &(cause, then) in self.leads[event].iter().filter(|(cause, _)| may(*cause)) {
                if then != from && !came.contains_key(&then) {
                    came.insert(then, (cause, event));
                    next.push_back(then);
                }
            }
        }
        let mut way = Vec::new();
        let mut at = to;
        while at != from {
            let &(cause, before) = came.get(&at)?;
            way.push((cause, at));
            at = before;
        }
        way.reverse();
        Some(way)
    }

    /// Cycles of events. Each event on any cycle is on at least one of these.
    pub(crate) fn cycles(&self) -> Vec<Vec<EventIndex>> {
        let mut cycles: Vec<Vec<EventIndex>> = Vec::new();
        let mut seen = vec![false; self.events.len()];
        for event in 0..self.events.len() {
            if seen[event] {
                continue;
            }
            let next = self.leads[event].iter();
            let Some((first, way)) = next
                .filter_map(|&(_, to)| Some((to, self.shortest_path(to, event, |_| true)?)))
                .next()
            else {
                continue;
            };
            let cycle: Vec<EventIndex> =
                std::iter::once(first).chain(way.into_iter().map(|(_, event)| event)).collect();
            cycle.iter().for_each(|&event| seen[event] = true);
            cycles.push(cycle);
        }
        cycles
    }
}

/// The joins: groups of reactions that wait for each other before they emit an event.
#[derive(Default)]
pub(crate) struct Joins {
    of: HashMap<NodeIndex, usize>,
    sizes: Vec<usize>,
}

impl Joins {
    /// Finds the joins in the choreography that an event begins.
    pub(crate) fn new(graph: &EventGraph<'_>, begin: EventIndex) -> Self {
        let success = graph.successes(begin);
        let mut groups: HashMap<(usize, EventIndex), Vec<NodeIndex>> = HashMap::new();
        for (node, one) in graph.nodes.iter().enumerate() {
            if let (true, Some(event)) = (success.runs[node], one.emits) {
                groups.entry((one.service, event)).or_default().push(node);
            }
        }
        let mut joins = Self::default();
        for group in
            groups.into_values().filter(|group| group.len() > 1 && concurrent(graph, group))
        {
            let join = joins.sizes.len();
            joins.sizes.push(group.len());
            joins.of.extend(group.into_iter().map(|node| (node, join)));
        }
        joins
    }

    /// The reactions in the same join as this one, itself included; none without a join.
    pub(crate) fn with(&self, node: NodeIndex) -> impl Iterator<Item = NodeIndex> {
        let join = self.of.get(&node);
        self.of.iter().filter(move |(_, other)| Some(*other) == join).map(|(node, _)| *node)
    }

    fn of(&self, cause: EventCause) -> Option<usize> {
        match cause {
            EventCause::Success(node) => self.of.get(&node).copied(),
            EventCause::Refusal(_) | EventCause::TimeOut => None,
        }
    }
}

/// True if none of these reactions follows from another one's event. A reaction that waited for
/// itself could never run, so joins form no cycles.
fn concurrent(graph: &EventGraph<'_>, group: &[NodeIndex]) -> bool {
    group.iter().all(|&node| {
        let after = graph.successes(graph.nodes[node].on);
        group.iter().all(|&other| other == node || !after.runs[other])
    })
}

/// Assigns indices to events.
#[derive(Default)]
struct GraphBuilder<'a> {
    numbers: HashMap<&'a EventType, EventIndex>,
    events: Vec<&'a EventType>,
}

impl<'a> GraphBuilder<'a> {
    fn build(mut self, declarations: &'a [Declaration]) -> EventGraph<'a> {
        let (mut begins, mut nodes, mut timeouts) = (Vec::new(), Vec::new(), Vec::new());
        for (service, declaration) in declarations.iter().enumerate() {
            begins.extend(declaration.begins.iter().map(|event| (service, self.number(event))));
            for reaction in &declaration.reactions {
                let on = self.number(&reaction.on);
                let emits = reaction.emits.as_ref().map(|event| self.number(event));
                let refuses = reaction.refuses.as_ref().map(|event| self.number(event));
                nodes.push(ReactionOf { service, reaction, on, emits, refuses });
            }
            for timeout in &declaration.timeouts {
                let after = self.number(&timeout.after);
                let emits = self.number(&timeout.emits);
                let awaits = timeout.awaits.iter().map(|event| self.number(event)).collect();
                timeouts.push(TimeoutOf { service, timeout, after, awaits, emits });
            }
        }
        let mut reactions_to = vec![Vec::new(); self.events.len()];
        let mut leads = vec![Vec::new(); self.events.len()];
        for (node, one) in nodes.iter().enumerate() {
            reactions_to[one.on].push(node);
            leads[one.on].extend(one.emits.map(|event| (EventCause::Success(node), event)));
            leads[one.on].extend(one.refuses.map(|event| (EventCause::Refusal(node), event)));
        }
        for timeout in &timeouts {
            leads[timeout.after].push((EventCause::TimeOut, timeout.emits));
        }
        EventGraph {
            declarations,
            events: self.events,
            begins,
            nodes,
            timeouts,
            reactions_to,
            leads,
        }
    }

    fn number(&mut self, event: &'a EventType) -> EventIndex {
        let events = &mut self.events;
        *self.numbers.entry(event).or_insert_with(|| {
            events.push(event);
            events.len() - 1
        })
    }
}
