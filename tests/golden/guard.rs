//! A panic inside a case is a failure of that case, told in the report and not on the terminal.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
    static MESSAGE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// What `work` returns, or the message of its panic and where it was raised.
pub fn guarded<R>(work: impl FnOnce() -> R) -> Result<R, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = take_hook();
        set_hook(Box::new(move |info| if GUARDED.get() { keep(info) } else { usual(info) }));
    });
    GUARDED.set(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(false);
    result.map_err(|_| MESSAGE.take())
}

fn keep(info: &PanicHookInfo) {
    let message = info.payload_as_str().unwrap_or("a panic without a message");
    let at = info.location().map_or(String::new(), |at| format!(" at {}:{}", at.file(), at.line()));
    MESSAGE.set(format!("panicked{at}: {message}"));
}
