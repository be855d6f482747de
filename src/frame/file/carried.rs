//! The EXR attributes that Longtake has no use for and carries from the plate to the
//! frames made of it.

use std::collections::HashMap;

use exr::meta::attribute::{AttributeValue, Text};
use exr::meta::header::{ImageAttributes, LayerAttributes};

/// Attributes that the EXR library has no field for and that are of one moment.
const MOMENTS: [&str; 4] = ["imageCounter", "capDate", "worldToCamera", "worldToNDC"];

/// Attributes of a file, and of the part of it that is read.
#[derive(Clone, Debug)]
pub(in crate::frame) struct Carried {
    pub(super) shared: ImageAttributes,
    pub(super) own: LayerAttributes,
}

/// Drops the fields of `$mine` that are otherwise in `$other`.
macro_rules! keep_alike {
    ($mine:expr, $other:expr, $($field:ident),* $(,)?) => {
        $(if $mine.$field != $other.$field {
            $mine.$field = None;
        })*
    };
}

impl Carried {
    /// Drops what `frame`, another frame of the plate, has otherwise: it is true of a
    /// frame and not of the shot.
    pub(super) fn keep_alike(&mut self, frame: &Self) {
        alike(&mut self.shared.other, &frame.shared.other);
        alike(&mut self.own.other, &frame.own.other);
        keep_alike!(self.shared, frame.shared, chromaticities);
        keep_alike!(
            self.own,
            frame.own,
            white_luminance,
            adopted_neutral,
            rendering_transform_name,
            look_modification_transform_name,
            horizontal_density,
            owner,
            comments,
            capture_date,
            utc_offset,
            longitude,
            latitude,
            altitude,
            focus,
            exposure,
            aperture,
            iso_speed,
            environment_map,
            film_key_code,
            wrap_mode_name,
            multi_view_names,
            world_to_camera,
            world_to_normalized_device,
            deep_image_state,
            preview,
            view_name,
            near_clip_plane,
            far_clip_plane,
            horizontal_field_of_view,
            vertical_field_of_view,
        );
    }

    /// These without what is true of one frame only, even where a plate has but one.
    pub(super) fn without_moments(&self) -> Self {
        let mut shot = self.clone();
        let own = &mut shot.own;
        own.preview = None;
        own.film_key_code = None;
        own.capture_date = None;
        own.world_to_camera = None;
        own.world_to_normalized_device = None;
        for other in [&mut shot.shared.other, &mut shot.own.other] {
            other.retain(|name, _| !MOMENTS.iter().any(|moment| name.eq(moment)));
        }
        shot
    }
}

/// Keeps of `mine` what `other` has alike.
fn alike(mine: &mut HashMap<Text, AttributeValue>, other: &HashMap<Text, AttributeValue>) {
    mine.retain(|name, value| other.get(name) == Some(value));
}
