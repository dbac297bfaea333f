//! Networks and volumes that are about to change, and images on their way.

use wharf_model::hook::{Adjustment, ImageTransfer, Moment, NetworkOp, Subject, VolumeChange, VolumeOp};

use super::{Asked, misfit};
use crate::event::Asker;

/// What is about to happen to a network.
pub(crate) struct AskedNetwork(pub(crate) NetworkOp);

impl Asked for AskedNetwork {
    fn moment(&self) -> Moment {
        Moment::Network
    }

    fn id(&self) -> String {
        self.0.name.clone()
    }

    fn subject(&self) -> Subject {
        Subject::Network(self.0.clone())
    }

    fn adjust(&mut self, adjustment: Adjustment, _: &Asker) -> Result<String, String> {
        Err(misfit(&adjustment, "a network"))
    }
}

/// What is about to happen to a volume.
pub(crate) struct AskedVolume(pub(crate) VolumeOp);

impl Asked for AskedVolume {
    fn moment(&self) -> Moment {
        Moment::Volume
    }

    fn id(&self) -> String {
        self.0.name.clone()
    }

    fn subject(&self) -> Subject {
        Subject::Volume(self.0.clone())
    }

    fn adjust(&mut self, adjustment: Adjustment, _: &Asker) -> Result<String, String> {
        match adjustment {
            Adjustment::AddLabel(name, value) if self.0.action == VolumeChange::Create => {
                let description = format!("label {name}={value}");
                self.0.labels.retain(|(held, _)| *held != name);
                self.0.labels.push((name, value));
                Ok(description)
            }
            other => Err(misfit(&other, "a volume")),
        }
    }
}

/// An image on its way from or to a registry.
pub(crate) enum AskedTransfer {
    Pull(ImageTransfer),
    Push(ImageTransfer),
}

impl AskedTransfer {
    fn transfer(&self) -> &ImageTransfer {
        match self {
            Self::Pull(transfer) | Self::Push(transfer) => transfer,
        }
    }
}

impl Asked for AskedTransfer {
    fn moment(&self) -> Moment {
        match self {
            Self::Pull(_) => Moment::ImagePull,
            Self::Push(_) => Moment::ImagePush,
        }
    }

    fn id(&self) -> String {
        self.transfer().reference.clone()
    }

    fn subject(&self) -> Subject {
        match self {
            Self::Pull(transfer) => Subject::ImagePull(transfer.clone()),
            Self::Push(transfer) => Subject::ImagePush(transfer.clone()),
        }
    }

    fn adjust(&mut self, adjustment: Adjustment, _: &Asker) -> Result<String, String> {
        Err(misfit(&adjustment, "an image on its way"))
    }
}
