//! The four ways beside each other, measured.

use super::StoryError;
use super::teller::Teller;
use crate::compare::Short;

pub(super) async fn play(teller: &Teller) -> Result<(), StoryError> {
    teller.title("The same orders in four ways, measured")?;
    teller.say(
        "Services are down, answers are lost, processes are killed, payments are refused, and",
    )?;
    teller.say("there is too little stock: the same for all. It takes half a minute.\n")?;
    let short = Short::run().await?;
    for line in short.words().to_string().lines() {
        teller.say(line)?;
    }
    let (without, with) = short.disagreeing();
    if with > 0 {
        return Err(StoryError::Wrong(format!("the books of {with} orders disagree at the end")));
    }
    if without > 0 {
        teller.wrong(&format!("without coordination the books of {without} orders disagree"))?;
    }
    teller.right("with it, in whichever way, none do")?;
    teller.say("\n`wholly compare` says more, and `wholly choose` which one suits you.")?;
    Ok(())
}
