//! The four ways in which an order is carried out.

use serde::Serialize;

use super::CompareError;
use crate::choreography::Flow;
use crate::fleet::{Fleet, Layout, Role};
use crate::shop::{ServiceKind, Stock};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Regime {
    /// The order service calls the others in turn, and gives up where one fails.
    NoCoordination,
    TwoPhase,
    /// The saga that a coordinator runs.
    Saga,
    /// The saga by events alone.
    Choreography,
}

impl Regime {
    pub(super) const ALL: [Self; 4] =
        [Self::NoCoordination, Self::TwoPhase, Self::Saga, Self::Choreography];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::NoCoordination => "no coordination",
            Self::TwoPhase => "two-phase",
            Self::Saga => "saga",
            Self::Choreography => "choreography",
        }
    }

    /// The process that leads an order to its end, and takes it from its client.
    pub(super) const fn leader(self) -> Role {
        match self {
            Self::TwoPhase | Self::Saga => Role::Coordinator,
            Self::NoCoordination | Self::Choreography => Role::Service(ServiceKind::Order),
        }
    }

    /// The processes of its shop, of which everything runs. They reach each other by a network only, which can be disturbed.
    pub(super) async fn open(self, stock: Stock) -> Result<Fleet, CompareError> {
        let flow = match self {
            Self::TwoPhase | Self::Saga => None,
            Self::NoCoordination => Some(Flow::InTurn),
            Self::Choreography => Some(Flow::Sequential),
        };
        Ok(Layout { flow, has_network: true, ..Layout::of(stock) }.start().await?)
    }

    /// The number of operations that the authors of the three services write for an order.
    pub(super) const fn operations_to_write(self) -> u32 {
        match self {
            // Create, confirm and cancel an order; charge; reserve.
            Self::NoCoordination => 5,
            // Validate, apply and release, in each service.
            Self::TwoPhase => 9,
            // Four actions and three compensations.
            Self::Saga => 7,
            // Six reactions, and the event that begins it.
            Self::Choreography => 7,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::choreography::{changes, declaration};
    use crate::shop::CREATE_ORDER;

    #[test]
    fn the_operations_to_write_are_those_of_the_code() {
        assert_eq!(Regime::NoCoordination.operations_to_write(), changes());

        let services = [
            include_str!("../shop/order.rs"),
            include_str!("../shop/payment.rs"),
            include_str!("../shop/inventory.rs"),
        ];
        let of_participants = services.iter().flat_map(|code| code.lines()).filter(|line| {
            ["fn validate(", "fn apply(", "fn release("]
                .iter()
                .any(|method| line.trim_start().starts_with(method))
        });
        assert_eq!(Regime::TwoPhase.operations_to_write(), of_participants.count() as u32);

        let saga: toml::Table = CREATE_ORDER.parse().unwrap();
        let steps = saga["steps"].as_array().unwrap();
        let compensations = steps.iter().filter(|step| step.get("compensation").is_some());
        let operations = (steps.len() + compensations.count()) as u32;
        assert_eq!(Regime::Saga.operations_to_write(), operations);

        let of_events = ServiceKind::ALL.map(|kind| {
            let declared = declaration(kind, Flow::Sequential).unwrap();
            declared.reactions.len() + declared.begins.len()
        });
        assert_eq!(
            Regime::Choreography.operations_to_write(),
            of_events.iter().sum::<usize>() as u32
        );
    }
}
