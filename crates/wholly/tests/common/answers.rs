//! A participant that is one function of what it is asked.

use wholly::{Answer, Call, Participant};

/// Answers every call by the function.
pub struct Answers<F> {
    pub answer: F,
    pub offers_one_phase: fn() -> bool,
}

pub fn answers<F: Fn(Call) -> Answer + Send + Sync + 'static>(answer: F) -> Answers<F> {
    Answers { answer, offers_one_phase: || false }
}

macro_rules! each {
    ($($operation:ident)*) => {$(
        async fn $operation(&self, call: Call) -> Answer {
            (self.answer)(call)
        }
    )*};
}

impl<F: Fn(Call) -> Answer + Send + Sync + 'static> Participant for Answers<F> {
    each! { prepare commit abort commit_one_phase action compensate }

    fn offers_one_phase(&self) -> bool {
        (self.offers_one_phase)()
    }
}
