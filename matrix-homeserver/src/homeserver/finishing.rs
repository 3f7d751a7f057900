//! Work that is done to its end, also when nobody waits for it any more.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

/// Some work, done where it is waited for. When it is dropped before its end, it goes on in a task of its own.
pub(super) struct Finishing<F: Future<Output: Send> + Send + 'static> {
    /// `None` when it is done.
    work: Option<Pin<Box<F>>>,
    tasks: TaskTracker,
}

impl<F: Future<Output: Send> + Send + 'static> Finishing<F> {
    pub(super) fn new(work: F, tasks: TaskTracker) -> Self {
        Self { work: Some(Box::pin(work)), tasks }
    }
}

impl<F: Future<Output: Send> + Send + 'static> Future for Finishing<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let work = self.work.as_mut().expect("nothing is polled after its end");
        let done = ready!(work.as_mut().poll(cx));
        self.work = None;
        Poll::Ready(done)
    }
}

impl<F: Future<Output: Send> + Send + 'static> Drop for Finishing<F> {
    fn drop(&mut self) {
        if let (Some(work), Ok(runtime)) = (self.work.take(), Handle::try_current()) {
            self.tasks.spawn_on(async move { drop(work.await) }, &runtime);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn work_that_is_waited_for_needs_no_task() {
        let tasks = TaskTracker::new();
        assert_eq!(Finishing::new(async { 7 }, tasks.clone()).await, 7);
        assert!(tasks.is_empty());
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_is_done_to_its_end() {
        let (tasks, (start, started), (told, mut heard)) =
            (TaskTracker::new(), oneshot::channel::<()>(), oneshot::channel());
        let mut work = Finishing::new(
            async move {
                started.await.unwrap();
                told.send("done").unwrap();
            },
            tasks.clone(),
        );
        assert_eq!((&mut work).now_or_never(), None);
        drop(work);
        assert!(heard.try_recv().is_err());
        start.send(()).unwrap();
        assert_eq!(heard.await, Ok("done"));
        tasks.close();
        tasks.wait().await;
    }
}
