//! Atheme: NickServ and SASL for an [`InspIrcd`].

use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use tempfile::TempDir;

use super::{InspIrcd, NOBODY, is_root};
use crate::irc::IrcClient;
use crate::peers;
use crate::process::Process;

/// Running services, linked to a server.
#[derive(Debug)]
pub struct Atheme {
    _process: Process,
    _folder: TempDir,
}

impl Atheme {
    /// Starts services and waits until NickServ is there; `None`, and the test counts as skipped, where Atheme is not
    /// installed.
    pub async fn start(server: &InspIrcd) -> Option<Self> {
        let Some(program) = peers::find("atheme-services") else {
            peers::skipped("atheme-services");
            return None;
        };
        let folder = tempfile::tempdir().expect("a temporary folder");
        let at = folder.path();
        let (config, data) = (at.join("atheme.conf"), at.join("data"));
        fs::create_dir(&data).expect("a writable folder");
        fs::write(data.join("services.db"), "").expect("a writable folder");
        fs::write(&config, CONFIG.replace("{link}", &server.link_port.to_string()))
            .expect("a writable folder");
        let mut command = Command::new(program);
        command.arg("-n").arg("-c").arg(&config).arg("-l").arg(at.join("ath.log"));
        command.arg("-p").arg(at.join("ath.pid")).arg("-D").arg(&data);
        if is_root() {
            for owned in [at, &config, &data, &data.join("services.db")] {
                chown(owned, Some(NOBODY), Some(NOBODY)).expect("root may change owners");
            }
            command.uid(NOBODY).gid(NOBODY);
        }
        let process = Process::start("atheme", &at.join("log"), command);
        let mut visitor = IrcClient::connect(server.address, "visitor").await;
        visitor.until_present("NickServ").await;
        Some(Self { _process: process, _folder: folder })
    }
}

const CONFIG: &str = r#"
loadmodule "modules/protocol/inspircd";
loadmodule "modules/backend/opensex";
loadmodule "modules/crypto/pbkdf2v2";
loadmodule "modules/nickserv/main";
loadmodule "modules/nickserv/register";
loadmodule "modules/nickserv/identify";
loadmodule "modules/nickserv/cert";
loadmodule "modules/chanserv/main";
loadmodule "modules/chanserv/register";
loadmodule "modules/saslserv/main";
loadmodule "modules/saslserv/plain";
loadmodule "modules/saslserv/external";
serverinfo { name = "services.test.local"; desc = "s"; numeric = "00A"; netname = "testnet"; adminname = "t";
  adminemail = "t@example.org"; registeremail = "t@example.org"; auth = none; casemapping = "rfc1459"; recontime = 1; };
general { commit_interval = 5; flood_msgs = 0; };
uplink "irc.test.local" { host = "127.0.0.1"; port = {link}; send_password = "linkpw"; receive_password = "linkpw"; };
nickserv { nick = "NickServ"; };
chanserv { nick = "ChanServ"; };
saslserv { nick = "SaslServ"; };
"#;
