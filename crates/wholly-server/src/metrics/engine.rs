//! The coordinator's measures under their names.

use std::fmt::{self, Debug};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;
use wholly::{Coordinator, Distribution, Health, Measures, Target, TargetHealth, TargetMeasures};

/// A coordinator, whose measures are read when somebody asks.
pub(super) struct Engine(pub Coordinator);

impl Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Engine").finish_non_exhaustive()
    }
}

impl Collector for Engine {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let measures = self.0.measures();
        let mut page = MetricsEncoder { encoder };
        page.transactions(&measures)?;
        page.log(&measures, self.0.health())?;
        let help = "How often the wall clock jumped";
        page.total("clock_jumps", help, None, measures.clock_jumps)?;
        page.one("commands_waiting", "Commands that wait for the loop", measures.commands_waiting)?;
        let help = "How long what the loop was to do waited for it";
        page.distribution("loop_lag", help, Some(&Unit::Seconds), &measures.loop_lag)?;
        page.participants(&measures.targets)
    }
}

/// The text that is being written.
struct MetricsEncoder<'a> {
    encoder: DescriptorEncoder<'a>,
}

impl MetricsEncoder<'_> {
    fn transactions(&mut self, measures: &Measures) -> fmt::Result {
        let begun =
            measures.begun.iter().map(|begun| ([("pattern", begun.pattern.as_str())], begun.count));
        self.counters("transactions_begun", "Transactions that began", begun)?;
        let labels = |ended: &wholly::EndedMeasures| {
            [("pattern", ended.pattern.as_str()), ("outcome", ended.outcome.as_str())]
        };
        let ended = measures.ended.iter().map(|ended| (labels(ended), ended.time.count));
        self.counters("transactions_ended", "Transactions that have settled", ended)?;
        let times = measures.ended.iter().map(|ended| (labels(ended), &ended.time));
        let help = "How long transactions took, from their beginning until they had settled";
        self.distributions("transaction", help, times)?;
        self.one("transactions_in_flight", "Transactions not settled", measures.in_flight)?;
        let help = "The memory that transactions in flight take, as it is counted for its limit";
        self.one("in_flight_bytes", help, measures.in_flight_bytes)?;
        let help = "The memory that transactions in flight may take before more are refused";
        self.one("in_flight_limit_bytes", help, measures.in_flight_limit_bytes)?;
        let help = "Transactions not settled that wait in the log for room in memory";
        self.one("transactions_unloaded", help, measures.unloaded)?;
        let help = "Transactions that cannot go on without an operator";
        self.one("transactions_stuck", help, measures.stuck)?;
        let help = "The age of the oldest transaction that is not decided; 0 without one";
        self.age("oldest_undecided", help, measures.oldest_undecided)?;
        let help = "The age of the oldest transaction that has not settled; 0 without one";
        self.age("oldest_unsettled", help, measures.oldest_unsettled)
    }

    fn log(&mut self, measures: &Measures, health: Health) -> fmt::Result {
        let up = i64::from(!matches!(health, Health::LogFailed { .. }));
        self.one("log_up", "Whether the log takes what is appended", up)?;
        self.total("log_failures", "How often the log failed", None, measures.log_failures)?;
        let help = "How much was found damaged in the log";
        self.total("log_damaged", help, None, measures.log_damage)?;
        let help = "Calls that made data durable";
        self.total("log_syncs", help, None, measures.written.syncs)?;
        let help = "Bytes that went to storage";
        self.total("log_written", help, Some(&Unit::Bytes), measures.written.bytes)?;
        let help = "How many transactions wrote in a batch";
        self.distribution("log_batch_entries", help, None, &measures.batch_entries)?;
        let help = "How long a batch took to become durable";
        self.distribution("log_append", help, Some(&Unit::Seconds), &measures.append_time)
    }

    fn participants(&mut self, targets: &[TargetMeasures]) -> fmt::Result {
        let named: Vec<_> = targets.iter().map(|target| (name(&target.target), target)).collect();
        let each = |of: fn(&TargetMeasures) -> u64| {
            let labelled = move |(name, target): &(String, &TargetMeasures)| {
                ([("participant", name.clone())], of(target))
            };
            named.iter().map(labelled)
        };
        self.gauges("calls_waiting", "Calls that wait for a slot", each(|c| c.waiting))?;
        let help = "Calls that have left and are not answered";
        self.gauges("calls_in_progress", help, each(|c| c.in_progress))?;
        let help = "How many calls to a participant may be in progress at once";
        self.gauges("call_slots", help, each(|c| c.slots as u64))?;
        let help = "Transactions for which a participant owes an answer";
        self.gauges("participant_in_flight", help, each(|c| c.in_flight))?;
        let help = "For how many a participant may owe one before more are refused";
        self.gauges("participant_in_flight_limit", help, each(|c| c.in_flight_limit as u64))?;
        let help = "Calls whose time ran out before they had a slot";
        self.counters("calls_not_sent", help, each(|c| c.not_sent))?;
        let up = named.iter().filter(|(_, target)| target.health != TargetHealth::Unknown);
        let up = up.map(|(name, target)| {
            ([("participant", name.clone())], u64::from(target.health == TargetHealth::Up))
        });
        let help = "Whether a participant's last answer could be understood";
        self.gauges("participant_up", help, up)?;
        let calls = named.iter().flat_map(|(name, target)| {
            target.calls.iter().map(|calls| {
                let labels = [
                    ("participant", name.as_str()),
                    ("operation", calls.operation.as_str()),
                    ("answer", calls.answer),
                ];
                (labels, &calls.time)
            })
        });
        self.distributions("call", "How long calls took until they were answered", calls)
    }

    fn one(&mut self, name: &str, help: &str, value: impl TryInto<i64>) -> fmt::Result {
        let mut metric = self.encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        metric.encode_gauge(&value.try_into().unwrap_or(i64::MAX))
    }

    fn total(&mut self, name: &str, help: &str, unit: Option<&Unit>, value: u64) -> fmt::Result {
        let mut metric = self.encoder.encode_descriptor(name, help, unit, MetricType::Counter)?;
        counter(&mut metric, value)
    }

    fn age(&mut self, name: &str, help: &str, age: Option<Duration>) -> fmt::Result {
        let unit = Some(&Unit::Seconds);
        let mut metric = self.encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?;
        metric.encode_gauge(&age.unwrap_or_default().as_secs_f64())
    }

    fn gauges<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (L, u64)>,
    ) -> fmt::Result {
        let mut metric = self.encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        values.into_iter().try_for_each(|(labels, value)| {
            let value = i64::try_from(value).unwrap_or(i64::MAX);
            metric.encode_family(&labels)?.encode_gauge(&value)
        })
    }

    fn counters<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (L, u64)>,
    ) -> fmt::Result {
        let mut metric = self.encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        values
            .into_iter()
            .try_for_each(|(labels, value)| counter(&mut metric.encode_family(&labels)?, value))
    }

    fn distribution(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        seen: &Distribution,
    ) -> fmt::Result {
        let mut metric = self.encoder.encode_descriptor(name, help, unit, MetricType::Histogram)?;
        histogram(&mut metric, seen)
    }

    fn distributions<'s, L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        times: impl IntoIterator<Item = (L, &'s Distribution)>,
    ) -> fmt::Result {
        let unit = Some(&Unit::Seconds);
        let mut metric = self.encoder.encode_descriptor(name, help, unit, MetricType::Histogram)?;
        times
            .into_iter()
            .try_for_each(|(labels, seen)| histogram(&mut metric.encode_family(&labels)?, seen))
    }
}

/// The name of a target as it is configured.
fn name(target: &Target) -> String {
    match target {
        Target::Participant(name) => name.to_string(),
        code => code.to_string(),
    }
}

fn counter(metric: &mut MetricEncoder<'_>, value: u64) -> fmt::Result {
    metric.encode_counter::<NoLabelSet, _, u64>(&value, None)
}

fn histogram(metric: &mut MetricEncoder<'_>, seen: &Distribution) -> fmt::Result {
    // The encoder knows the last bound by this number.
    let bounded = |&(bound, count): &(f64, u64)| (bound.min(f64::MAX), count);
    let buckets: Vec<_> = seen.buckets.iter().map(bounded).collect();
    metric.encode_histogram::<NoLabelSet>(seen.sum, seen.count, &buckets, None)
}
