use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::back_end::{Answer, BackEnd, Login, Order, env_value, sign_token};
use super::log_lines::Origin;
use super::policies::{self, Approver};
use super::population::{Population, TRADING_ACCOUNT, populate};
use super::random::Dice;
use super::secrets_manager::EmbeddedSecretsManager;
use super::state::{fault, replace};
use super::{database, log_lines};
use crate::domain::Timestamp;
use crate::ports::{Clock, Fault, FaultKind, Random, Service};

/// Minutes before now at which the hourly backups were taken, oldest first.
pub(super) const BACKUPS: [u64; 6] = [350, 290, 230, 170, 110, 50];

/// A deployment in a folder, ready to be worked on with `--embedded`.
pub struct EmbeddedDeployment {
    /// The folder.
    pub root: PathBuf,
    /// The back end, running.
    pub back_end: Arc<BackEnd>,
    /// The first value of `TRADING_API_KEY`: the one that leaks.
    pub trading_key: SecretString,
    /// The first value of `JWT_SECRET`.
    pub jwt_secret: SecretString,
}

/// A value of `A-Za-z0-9` behind a prefix.
fn secret(random: &dyn Random, prefix: &str, length: usize) -> Result<SecretString, Fault> {
    const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut text = Zeroizing::new(String::from(prefix));
    while text.len() < prefix.len() + length {
        let mut byte = [0];
        random.fill(&mut byte)?;
        // 248 = 4 * 62: bytes above it would favour the first letters.
        if byte[0] < 248 {
            text.push(char::from(ALPHABET[usize::from(byte[0]) % ALPHABET.len()]));
        }
    }
    Ok(SecretString::from(text.as_str()))
}

fn folders(root: &Path) -> Result<(), Fault> {
    std::fs::create_dir_all(root).map_err(|error| fault("make", root, error))?;
    let mut entries = std::fs::read_dir(root).map_err(|error| fault("read", root, error))?;
    if entries.next().is_some() {
        let message = format!("{} is not empty: an embedded deployment is only built in a new folder", root.display());
        return Err(Fault::new(FaultKind::Conflict, message));
    }
    for name in ["logs", "backups", "embedded"] {
        let path = root.join(name);
        std::fs::create_dir(&path).map_err(|error| fault("make", &path, error))?;
    }
    Ok(())
}

fn write_env(root: &Path, trading: &SecretString, jwt: &SecretString, webhook: &SecretString) -> Result<(), Fault> {
    let text = Zeroizing::new(format!(
        "# Trading back end. Never commit this file.\nNODE_ENV=production\nPORT=3001\n\n# Prisma\nDATABASE_URL=\"file:./trading.db\"\n\n\
         # Signs session tokens\nJWT_SECRET={}\nWEBHOOK_SECRET='{}'   \n\n# Key of the trading desk\nexport TRADING_API_KEY=\"{}\"\nLOG_LEVEL=info\n",
        jwt.expose_secret(),
        webhook.expose_secret(),
        trading.expose_secret()
    ));
    replace(&root.join(".env"), text.as_bytes())
}

fn write_logs(root: &Path, there: &Population) -> Result<(), Fault> {
    for (name, lines) in [("app.log", &there.app), ("access.log", &there.access), ("auth.log", &there.auth)] {
        log_lines::LogFile::new(root, name).append(lines)?;
    }
    Ok(())
}

impl EmbeddedDeployment {
    /// Builds a deployment in a new or empty folder: three days of ordinary trade that end now, six hourly backups, logs,
    /// `.env`, policies with those approvers, and a running back end. The same `random` and time give the same deployment.
    pub async fn create(
        root: &Path,
        random: &dyn Random,
        clock: Arc<dyn Clock>,
        approvers: &[Approver],
    ) -> Result<Self, Fault> {
        folders(root)?;
        let now = clock.now();
        let mut seed = [0; 8];
        random.fill(&mut seed)?;
        let mut dice = Dice::new(u64::from_le_bytes(seed));
        let trading_key = secret(random, "tk_live_", 40)?;
        let jwt_secret = secret(random, "", 64)?;
        let webhook = secret(random, "", 40)?;
        policies::write(root, approvers)?;
        write_env(root, &trading_key, &jwt_secret, &webhook)?;
        EmbeddedSecretsManager::new(root).create("prod/webhook", &webhook, "first")?;
        let there = populate(&mut dice, now, &trading_key);
        write_logs(root, &there)?;
        let mut connection = database::create(root).await?;
        database::execute(&mut connection, there.sql).await?;
        for minutes in BACKUPS {
            let at = now - Duration::from_secs(minutes * 60);
            database::write_backup(&mut connection, root, at).await?;
        }
        database::close(connection).await?;
        let back_end = Arc::new(BackEnd::new(root, clock));
        back_end.restart().await?;
        Ok(Self { root: root.to_owned(), back_end, trading_key, jwt_secret })
    }

    /// Tries every credential on the back end, the new ones with a trade; returns what is not as it should be after a
    /// rotation: empty is good. The new trade comes first: whatever revives old keys when a trade is made shows itself.
    pub async fn try_credentials(&self) -> Result<Vec<String>, Fault> {
        let path = self.root.join(".env");
        let env = Zeroizing::new(std::fs::read_to_string(&path).map_err(|error| fault("read", &path, error))?);
        let now = |key: &str| {
            env_value(&env, key).ok_or_else(|| Fault::new(FaultKind::NotFound, format!(".env has no {key}")))
        };
        let expires = Timestamp::now() + Duration::from_mins(1);
        let token = |secret: &SecretString| sign_token(secret, TRADING_ACCOUNT, expires);
        let (new_key, new_token) = (now("TRADING_API_KEY")?, token(&now("JWT_SECRET")?));
        let old_token = token(&self.jwt_secret);
        let tries = [
            ("the new key", Login::ApiKey(&new_key), true),
            ("a token under the new secret", Login::Token(&new_token), true),
            ("the OLD key", Login::ApiKey(&self.trading_key), false),
            ("a token under the OLD secret", Login::Token(&old_token), false),
        ];
        let origin = Origin { ip: "10.20.0.8", user_agent: "trading-sdk/2.4.1 (node 22)" };
        let order = Order { symbol: "VWCE".into(), side: "BUY", quantity: 1.into(), price: 116.into() };
        let mut wrong = Vec::new();
        for (what, login, honoured) in tries {
            match self.back_end.place_trade(login, &order, origin).await? {
                Answer::Created { trade } if !honoured => wrong.push(format!("{what} could place trade {trade}")),
                Answer::Refused { status, reason } if honoured => {
                    wrong.push(format!("{what} is refused ({status}: {reason})"));
                }
                Answer::Refused { status, reason } if status != 401 => {
                    wrong.push(format!("{what} is refused for another reason ({status}: {reason})"));
                }
                Answer::Created { .. } | Answer::Refused { .. } => {}
            }
        }
        Ok(wrong)
    }
}
