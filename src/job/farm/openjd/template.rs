//! The parts of a job bundle as Open Job Description (2023-09) and the bundle's layout
//! write them; what they mean is in their specifications.

use serde::Serialize;

use crate::manifest::Value;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Template {
    pub(super) specification_version: &'static str,
    pub(super) extensions: [&'static str; 1],
    pub(super) name: String,
    pub(super) description: String,
    pub(super) parameter_definitions: Vec<Parameter>,
    pub(super) steps: Vec<JobStep>,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Parameter {
    pub(super) name: String,
    pub(super) r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) object_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) data_flow: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) default: Option<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) allowed_values: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) min_length: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) min_value: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) max_value: Option<Value>,
    pub(super) description: String,
    pub(super) user_interface: Interface,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Interface {
    pub(super) control: &'static str,
    pub(super) label: String,
    pub(super) group_label: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) decimals: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) single_step_delta: Option<f64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct JobStep {
    pub(super) name: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) dependencies: Vec<Dependency>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) parameter_space: Option<Space>,
    pub(super) host_requirements: Requirements,
    pub(super) script: Script,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Dependency {
    pub(super) depends_on: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Space {
    pub(super) task_parameter_definitions: [TaskParameter; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TaskParameter {
    pub(super) name: &'static str,
    pub(super) r#type: &'static str,
    pub(super) range: String,
    pub(super) chunks: Chunks,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Chunks {
    pub(super) default_task_count: String,
    pub(super) range_constraint: &'static str,
}

#[derive(Serialize)]
pub(super) struct Requirements {
    pub(super) amounts: Vec<Amount>,
}

#[derive(Serialize)]
pub(super) struct Amount {
    pub(super) name: &'static str,
    pub(super) min: u64,
}

#[derive(Serialize)]
pub(super) struct Script {
    pub(super) actions: Actions,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Actions {
    pub(super) on_run: Action,
}

#[derive(Serialize)]
pub(super) struct Action {
    pub(super) command: String,
    pub(super) args: Vec<String>,
    pub(super) cancelation: Cancelation,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Cancelation {
    pub(super) mode: &'static str,
    pub(super) notify_period_in_seconds: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ParameterValues {
    pub(super) parameter_values: Vec<ParameterValue>,
}

#[derive(Serialize)]
pub(super) struct ParameterValue {
    pub(super) name: String,
    pub(super) value: Value,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Assets {
    pub(super) asset_references: References,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct References {
    pub(super) inputs: Inputs,
    pub(super) outputs: Outputs,
    pub(super) referenced_paths: [String; 0],
}

#[derive(Serialize)]
pub(super) struct Inputs {
    pub(super) filenames: Vec<String>,
    pub(super) directories: [String; 0],
}

#[derive(Serialize)]
pub(super) struct Outputs {
    pub(super) directories: Vec<String>,
}
