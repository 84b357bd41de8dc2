//! The metrics of feeds and of the choreographies in them.

use std::fmt::{self, Debug};
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet};
use prometheus_client::metrics::MetricType;

use crate::observer::{ChoreographyState, Counts, FeedMeasures, Observer, ServiceMeasures};

/// An observer, whose measures are read when somebody asks.
pub(super) struct Feeds(pub Arc<Observer>);

impl Debug for Feeds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Feeds").finish_non_exhaustive()
    }
}

impl Collector for Feeds {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let feeds = self.0.feeds();
        let of = |value: fn(&FeedMeasures) -> u64| {
            feeds.iter().map(move |feed| ([("feed", feed.source.to_string())], value(feed)))
        };
        let help = "Events that a feed has and the observer has not read";
        gauges(&mut encoder, "feed_lag_events", help, of(|feed| feed.lag))?;
        let help = "Whether a feed cannot be read";
        let unreachable = of(|feed| u64::from(feed.unreachable));
        gauges(&mut encoder, "feed_unreachable", help, unreachable)?;
        services(&mut encoder, &self.0.services())?;
        let Counts { by_state, stuck } = self.0.counts();
        let by_state = ChoreographyState::ALL.map(|state| {
            ([("state", state.as_str())], by_state.get(&state).copied().unwrap_or_default())
        });
        gauges(&mut encoder, "choreographies", "Choreographies that are kept", by_state)?;
        let help = "Choreographies that an operator should look at";
        let mut metric =
            encoder.encode_descriptor("choreographies_stuck", help, None, MetricType::Gauge)?;
        metric.encode_gauge(&i64::try_from(stuck).unwrap_or(i64::MAX))
    }
}

/// The standing of the services that offer it.
fn services(encoder: &mut DescriptorEncoder<'_>, all: &[ServiceMeasures]) -> fmt::Result {
    let of_feeds = |value: fn(&FeedMeasures) -> u64| {
        let feeds = all.iter().flat_map(|one| one.feeds.iter().map(move |feed| (one, feed)));
        feeds.map(move |(one, feed)| {
            let names = [("service", one.service.to_string()), ("feed", feed.source.to_string())];
            (names, value(feed))
        })
    };
    let help = "Events that a feed has and a service that follows it has not dealt with";
    gauges(encoder, "service_feed_lag_events", help, of_feeds(|feed| feed.lag))?;
    let help = "Whether a service cannot read a feed that it follows";
    let unreachable = of_feeds(|feed| u64::from(feed.unreachable));
    gauges(encoder, "service_feed_unreachable", help, unreachable)?;
    let of = |value: fn(&ServiceMeasures) -> u64| {
        all.iter().map(move |one| ([("service", one.service.to_string())], value(one)))
    };
    let help = "Events that wait in a service";
    gauges(encoder, "service_parked_events", help, of(|one| one.parked))?;
    let help = "Events that wait in a service until an operator looks at them";
    gauges(encoder, "service_stuck_events", help, of(|one| one.stuck))
}

fn gauges<L: EncodeLabelSet>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl IntoIterator<Item = (L, u64)>,
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    values.into_iter().try_for_each(|(labels, value)| {
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        metric.encode_family(&labels)?.encode_gauge(&value)
    })
}
