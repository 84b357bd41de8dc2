//! `kind = "http"`: a service that is called over HTTP.

use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;
use wholly::{Endpoint, HttpParticipant};

use super::super::credentials::{AuthSection, SigningSection, TlsSection};
use super::super::kind::{Context, Section};
use super::super::{Wrong, value};

#[derive(Deserialize)]
pub(in crate::config) struct HttpSection {
    #[serde(deserialize_with = "value::participant_at")]
    url: HttpParticipant,
    #[serde(default)]
    one_phase: bool,
    call_timeout: Option<Spanned<value::PositiveDuration>>,
    #[serde(default)]
    refused_statuses: Vec<value::ClientErrorStatus>,
    auth: Option<Spanned<AuthSection>>,
    tls: Option<Spanned<TlsSection>>,
    signing: Option<Spanned<SigningSection>>,
}

impl Section for HttpSection {
    const KIND: &'static str = "http";
    type Configured = Arc<dyn Endpoint>;

    fn configured(self, context: &Context<'_>) -> Result<Arc<dyn Endpoint>, Wrong> {
        let refused_statuses: Vec<u16> =
            self.refused_statuses.into_iter().map(|status| status.0).collect();
        let mut participant =
            self.url.one_phase(self.one_phase).refused_statuses(&refused_statuses);
        if let Some(call_timeout) = self.call_timeout {
            let bound = context.settings.call_timeout;
            if call_timeout.get_ref().0 > bound {
                let why = format!(
                    "this call_timeout is longer than that of [settings], {bound:?}, which bounds it: \
                     raise that one, too"
                );
                return Err(Wrong::about(&call_timeout, why));
            }
            participant = participant.call_timeout(call_timeout.get_ref().0);
        }
        if let Some(auth) = self.auth {
            participant = AuthSection::of(auth, participant)?;
        }
        if let Some(tls) = self.tls {
            participant = TlsSection::of(tls, participant, context.directory)?;
        }
        if let Some(signing) = self.signing {
            participant = SigningSection::of(signing, participant)?;
        }
        Ok(Arc::new(participant))
    }
}
