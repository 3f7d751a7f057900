//! Ghosts: Matrix users that stand for users of the network.

use std::{sync::Arc, time::Duration};

use super::{UserInfo, core::Core, keyed::Keyed, portal::RoomError};
use crate::{
    intent::Intent,
    network_id::{LoginId, RemoteUserId},
    store::{Batch, GhostRow},
};

/// How long a ghost waits for the network to say what its user is like. The ghost is then made without.
const PATIENCE: Duration = Duration::from_secs(5);

/// Who is making which ghost.
#[derive(Debug, Default)]
pub(crate) struct Ghosts {
    making: Keyed<RemoteUserId>,
}

impl Core {
    /// The ghost of `user`, registered and with its profile. `hint` is what is known of him by now;
    /// if nothing is, `login` is asked when the ghost is made.
    pub(crate) async fn ensure_ghost(
        self: &Arc<Self>,
        user: &RemoteUserId,
        hint: Option<&UserInfo>,
        login: Option<&LoginId>,
    ) -> Result<Intent, RoomError> {
        let intent = self.intent(&self.ghost_id(user)?);
        let known = self.store.ghost(user)?;
        if let Some(row) = &known
            && hint.is_none_or(|hint| merged(&row.info, hint) == row.info)
        {
            return Ok(intent);
        }
        let _making = self.ghosts.making.lock(user).await;
        let known = self.store.ghost(user)?;
        let is_new = known.is_none();
        let before = known.unwrap_or_default().info;
        let info = match hint {
            Some(hint) => merged(&before, hint),
            None if is_new => self.ask_for_user(user, login).await,
            None => return Ok(intent),
        };
        intent.ensure_registered().await?;
        if let Some(name) = info.display_name.as_ref().filter(|_| info.display_name != before.display_name) {
            intent.set_display_name(Some(name.as_str())).await?;
        }
        if let Some(avatar) = info.avatar.as_ref().filter(|_| info.avatar != before.avatar) {
            intent.set_avatar_url(Some(avatar)).await?;
        }
        let mut batch = Batch::default();
        batch.put_ghost(user, &GhostRow { info });
        self.apply(batch);
        if is_new {
            self.metrics.ghosts_made.inc();
            tracing::debug!(user_id = %intent.user_id(), "made a ghost");
        }
        Ok(intent)
    }

    async fn ask_for_user(self: &Arc<Self>, user: &RemoteUserId, login: Option<&LoginId>) -> UserInfo {
        let asked = async {
            let login = self.open_login(login?).await.ok()?;
            login.user_info(user).await.ok()
        };
        let info = tokio::time::timeout(PATIENCE, asked).await.ok().flatten().unwrap_or_default();
        UserInfo { display_name: info.display_name.or_else(|| Some(user.to_string())), ..info }
    }
}

/// What is known after `news`: fields that it leaves open stay as they were.
fn merged(before: &UserInfo, news: &UserInfo) -> UserInfo {
    UserInfo {
        display_name: news.display_name.clone().or_else(|| before.display_name.clone()),
        avatar: news.avatar.clone().or_else(|| before.avatar.clone()),
    }
}
