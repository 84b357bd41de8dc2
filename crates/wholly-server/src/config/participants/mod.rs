//! `[participants.NAME]`: the participants, each of one of several kinds.

mod http;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use wholly::{Endpoint, ParticipantName, Settings, Slots};

use super::kind::{Context, Kind, Kinds, table};
use super::{Wrong, share_of, value};

/// The kinds of participants. To add one: its file, and its line here.
pub(super) const KINDS: Kinds<Arc<dyn Endpoint>> =
    Kinds { default: "http", all: &[Kind::of::<http::HttpSection>()] };

/// A participant that the configuration names.
pub struct ConfiguredParticipant {
    /// The word of its kind.
    pub kind: &'static str,
    /// The endpoint that calls it.
    pub endpoint: Arc<dyn Endpoint>,
    /// The calls that it takes at once.
    pub slots: Slots,
}

/// The keys that every kind of participant has.
#[derive(Deserialize)]
pub(super) struct CommonSection {
    slots: Option<Spanned<SlotsSection>>,
    in_flight_limit: Option<Spanned<value::Positive>>,
    calls_per_second: Option<value::Positive>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SlotsSection {
    total: usize,
    reserved_for_second_phase: usize,
}

impl CommonSection {
    /// The slots of its section, in the place of the endpoint's own.
    fn over(self, slots: Slots, settings: &Settings) -> Result<Slots, Wrong> {
        let mut slots = match self.slots {
            None => slots,
            Some(section) => {
                let SlotsSection { total, reserved_for_second_phase } = *section.get_ref();
                Slots::new(total, reserved_for_second_phase)
                    .map_err(|why| Wrong::about(&section, why.to_string()))?
            }
        };
        if let Some(limit) = self.in_flight_limit {
            slots = slots.with_in_flight_limit(share_of(settings.in_flight_limit, &limit)?);
        }
        if let Some(value::Positive(limit)) = self.calls_per_second {
            slots = slots.with_calls_per_second(limit);
        }
        Ok(slots)
    }
}

pub(super) fn configured(
    sections: Option<Spanned<DeValue<'_>>>,
    context: &Context<'_>,
) -> Result<BTreeMap<ParticipantName, ConfiguredParticipant>, Wrong> {
    let Some(sections) = sections else { return Ok(BTreeMap::new()) };
    let sections: DeTable<'_> = table(sections)?.into_inner();
    let mut participants = BTreeMap::new();
    for (key, section) in sections {
        let name = ParticipantName::new(key.get_ref().as_ref())
            .map_err(|why| Wrong::about(&key, why.to_string()))?;
        let (kind, common, endpoint) = KINDS.read::<CommonSection>(table(section)?, context)?;
        let slots = common.over(endpoint.slots(), context.settings)?;
        participants.insert(name, ConfiguredParticipant { kind, endpoint, slots });
    }
    Ok(participants)
}
