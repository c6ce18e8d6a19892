//! `[http]`.

use std::net::SocketAddr;

use super::{
    HttpSection, secret_from_file,
    settings::{ConfigError, Settings},
};

pub(super) fn checked(settings: &Settings) -> Result<HttpSection, ConfigError> {
    let text = settings.text("http.listen")?;
    let listen: SocketAddr = text.parse().map_err(|_| {
        settings.bad("http.listen", format!("'{text}' is no address; write IP:PORT, such as 127.0.0.1:7700"))
    })?;
    let token = secret_from_file(settings, "http.token_file")?;
    if !listen.ip().is_loopback() && token.is_none() {
        return Err(settings.bad(
            "http.listen",
            format!(
                "{listen} can be reached from other machines; set http.token_file to a file with a token"
            ),
        ));
    }
    let token_file = settings.optional_text("http.token_file")?.map(str::to_owned);
    Ok(HttpSection { listen, token, token_file })
}
