//! `relapse proxy`.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::{complain, err, raise_descriptors, stopped};
use crate::exit::Exit;
use crate::proxy::{Server, ServerError};

#[derive(Debug, Args)]
pub(super) struct Proxy {
    /// Where the API listens; port 0 is any that is free
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8474")]
    listen: String,
    /// What all chance comes from: which connections and messages a toxic acts on
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Proxies to begin with: a JSON array of {name, listen, upstream, enabled}, as Toxiproxy has it, where each may say
    /// on which link it stands: {from, to, listener, regions: {from, to}}
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Serves proxies until a signal ends it.
pub(super) fn proxy(proxy: &Proxy) -> Exit {
    let config = match proxy.config.as_ref().map(|file| (file, std::fs::read(file))) {
        None => None,
        Some((_, Ok(config))) => Some(config),
        Some((file, Err(error))) => {
            return complain(&format!("{}: {error}", file.display()), Exit::Specification);
        }
    };
    raise_descriptors();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return complain(&format!("cannot start threads: {error}"), Exit::Environment);
        }
    };
    let ended = runtime.block_on(serve(proxy, config));
    // What still runs by now has had its time.
    runtime.shutdown_background();
    ended
}

async fn serve(proxy: &Proxy, config: Option<Vec<u8>>) -> Exit {
    let stop = match stopped() {
        Ok(stop) => stop,
        Err(error) => return complain(&format!("cannot take signals: {error}"), Exit::Environment),
    };
    let server = match Server::bind(&proxy.listen, proxy.seed).await {
        Ok(server) => server,
        Err(error) => return complain(&error.to_string(), Exit::Environment),
    };
    let mut lines = format!("proxy http://{} seed {}\n", server.address(), proxy.seed);
    if let (Some(config), Some(file)) = (config, &proxy.config) {
        match server.populate(&config).await {
            Ok(proxies) => {
                for one in proxies {
                    lines = lines + "  " + &one + "\n";
                }
            }
            Err(ServerError::Config(what)) => {
                return complain(&format!("{}: {what}", file.display()), Exit::Specification);
            }
            Err(error) => return complain(&error.to_string(), Exit::Environment),
        }
    }
    let mut stdout = std::io::stdout();
    // At once, for whoever waits for it. A reader that has gone is no error.
    let _ = stdout.write_all(lines.as_bytes()).and_then(|()| stdout.flush());
    server.serve(stop).await;
    err("relapse: stopped");
    Exit::Pass
}
