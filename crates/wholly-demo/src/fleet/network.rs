//! The proxy between the processes of a fleet, and what it is told.

use super::{Fleet, FleetError, PATIENCE, Process, Role, system};

impl Fleet {
    pub(super) async fn start_proxy(&mut self) -> Result<(), FleetError> {
        let pairs = Role::ALL.map(|role| format!("{}:{}", self.ways[&role], self.ports[&role]));
        let arguments: Vec<_> = ["torture-proxy".to_owned()].into_iter().chain(pairs).collect();
        let proxy = Process::start("proxy", &arguments, self.directory.path());
        self.proxy = Some(proxy.map_err(system("start a process"))?);
        self.proxy_says("ready").await
    }

    /// Has the proxy do this with the way to a process.
    pub(crate) async fn disturb(&mut self, role: Role, what: &str) -> Result<(), FleetError> {
        let nth = Role::ALL.iter().position(|other| *other == role).unwrap_or_default();
        if let Some(proxy) = &mut self.proxy {
            proxy.tell(&format!("{nth} {what}")).map_err(system("speak to the proxy"))?;
        }
        self.proxy_says("done").await
    }

    /// The number of requests that processes have sent to each other by the proxy.
    pub(crate) async fn messages(&mut self) -> Result<u64, FleetError> {
        let mut messages = 0;
        for nth in 0..Role::ALL.len() {
            if let Some(proxy) = &mut self.proxy {
                proxy.tell(&format!("{nth} messages")).map_err(system("speak to the proxy"))?;
            }
            let count = |said: &str| said.parse::<u64>().ok();
            messages += self.proxy_answers("how many messages passed", count).await?;
        }
        Ok(messages)
    }

    async fn proxy_says(&mut self, line: &str) -> Result<(), FleetError> {
        self.proxy_answers(line, |said| (said == line).then_some(())).await
    }

    async fn proxy_answers<T>(
        &mut self,
        what: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<T, FleetError> {
        let late = || FleetError::Late(format!("the proxy says {what}"));
        let proxy = self.proxy.as_mut().ok_or_else(late)?;
        let said = tokio::time::timeout(PATIENCE, proxy.line()).await.ok().flatten();
        said.and_then(|said| read(&said))
            .ok_or_else(|| FleetError::NotReady { name: "proxy", last_words: proxy.last_words() })
    }
}
