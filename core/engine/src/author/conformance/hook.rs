//! Events, plain and odd.

use wharf_model::hook::{Moment, Phase};

use super::check_twice;
use crate::author::event::{odd, plain};
use crate::author::inject::Run;
use crate::author::outcome::Ended;
use crate::author::workshop::Stand;

const PHASES: [Phase; 3] = [Phase::Adjust, Phase::Judge, Phase::Observe];

/// Every moment and phase that the hook subscribes to.
pub(super) fn check(stand: &Stand, run: &mut Run<'_>) {
    let mut asked = false;
    for moment in Moment::ALL {
        let events = odd(moment);
        for phase in PHASES {
            let Some(hook) = stand.plugins.hooks(moment, phase).into_iter().next() else { continue };
            asked = true;
            let of = moment.as_str();
            match phase {
                Phase::Adjust => {
                    check_twice(run, &format!("adjust {of}"), &events, |event| hook.adjust(event, None))
                }
                Phase::Judge => {
                    check_twice(run, &format!("judge {of}"), &events, |event| hook.judge(event, None))
                }
                Phase::Observe => {
                    check_twice(run, &format!("observe {of}"), &events, |event| hook.observe(event))
                }
            }
        }
    }
    run.check("it subscribes to something", || {
        if asked {
            Ended::Passed
        } else {
            Ended::failed("`describe` names no moment, or it may do nothing there")
        }
    });
}

/// Asks the hook about the first thing it subscribes to.
pub(crate) fn first_event(stand: &Stand) -> Option<impl FnOnce() + use<>> {
    let pairs = Moment::ALL.into_iter().flat_map(|moment| PHASES.map(|phase| (moment, phase)));
    let mut asked = pairs.filter_map(|(moment, phase)| {
        Some((stand.plugins.hooks(moment, phase).into_iter().next()?, plain(moment), phase))
    });
    let (hook, event, phase) = asked.next()?;
    Some(move || match phase {
        Phase::Adjust => drop(hook.adjust(&event, None)),
        Phase::Judge => drop(hook.judge(&event, None)),
        Phase::Observe => drop(hook.observe(&event)),
    })
}
