//! A job bundle of Open Job Description (specification 2023-09): a template, the
//! values of its parameters, and the files that it reads and writes, in the layout
//! that AWS Deadline Cloud takes too.
//!
//! The template's parameters are the job's, with the manifest's labels and hints, so
//! that a queue's own panel shows what the node's shows. Frames are a chunked task
//! parameter (extension TASK_CHUNKING), so a scheduler may make a task larger or
//! smaller than a block.

mod template;

use std::path::PathBuf;

use serde::Serialize;

use self::template::{
    Action, Actions, Amount, Assets, Cancelation, Chunks, Dependency, Inputs, Interface, JobStep,
    Outputs, Parameter, ParameterValue, ParameterValues, References, Requirements, Script, Space,
    TaskParameter, Template,
};
use super::settings::Setting;
use super::steps::{Farm, Step, Tasks};
use crate::frame::FrameList;
use crate::job::error::{JobError, Kind};
use crate::job::sources::is_written;
use crate::manifest::{ParamKind, Value};

/// Seconds that a task has to stop in before it is killed. It takes a tenth of one.
const NOTICE: u32 = 30;
/// Letters of a name at most; of a description.
const NAME: usize = 64;
const DESCRIPTION: usize = 2048;
/// The frames that a job with `only` makes.
const ONLY: &str = "only";
/// How the machines call Longtake.
const PROGRAM: &str = "longtake";

/// The bundle's files: name and text.
pub fn files(farm: &Farm) -> Result<Vec<(String, String)>, JobError> {
    Ok(vec![
        ("template.yaml".to_owned(), yaml(&template(farm))?),
        ("parameter_values.yaml".to_owned(), yaml(&values(farm))?),
        ("asset_references.yaml".to_owned(), yaml(&assets(farm))?),
    ])
}

fn yaml(value: &impl Serialize) -> Result<String, JobError> {
    serde_saphyr::to_string(value).map_err(|e| JobError::new(Kind::Internal, e.to_string()))
}

fn template(farm: &Farm) -> Template {
    let mut parameters: Vec<Parameter> = farm.settings.iter().map(parameter).collect();
    parameters.extend(farm.looks.iter().map(parameter));
    if let Some((range, text)) = only(farm) {
        parameters.push(Parameter {
            name: ONLY.to_owned(),
            r#type: "STRING",
            default: Some(Value::Text(range)),
            min_length: Some(1),
            description: text,
            user_interface: Interface {
                control: "LINE_EDIT",
                label: "Only these frames".to_owned(),
                group_label: "Files".to_owned(),
                ..Interface::default()
            },
            ..Parameter::default()
        });
    }
    parameters.push(Parameter {
        name: PROGRAM.to_owned(),
        r#type: "STRING",
        default: Some(Value::Text(farm.program.clone())),
        min_length: Some(1),
        description:
            "How the machines call Longtake: its name, where it is on their PATH, or its full path."
                .to_owned(),
        user_interface: Interface {
            control: "LINE_EDIT",
            label: "Longtake program".to_owned(),
            group_label: "Machine".to_owned(),
            ..Interface::default()
        },
        ..Parameter::default()
    });
    Template {
        specification_version: "jobtemplate-2023-09",
        extensions: ["TASK_CHUNKING"],
        name: cut(&farm.title, 128),
        description: format!(
            "Made by 'longtake submit' for {}. All machines need to see plate, output and store under the same paths, or under those that the queue maps them to.",
            farm.version
        ),
        parameter_definitions: parameters,
        steps: farm.steps.iter().map(|s| step(farm, s)).collect(),
    }
}

/// The frames of a job that makes a part of its take, in the format's own words.
fn only(farm: &Farm) -> Option<(String, String)> {
    let all = wanted(farm)?;
    let frames = farm.settings.iter().find(|s| s.param.name == "frames");
    // All of them: the range that is shown already tells it.
    if frames.is_some_and(|f| f.value.to_string() == all.to_string()) {
        return None;
    }
    let text = "Which frames of the take to make: 1010, 1001-1050, 1001-1049:2, or a list of such with commas between.";
    Some((ranges(all), text.to_owned()))
}

fn wanted(farm: &Farm) -> Option<&FrameList> {
    farm.steps.iter().find_map(|s| match &s.tasks {
        Tasks::Frames { all, .. } => Some(all),
        _ => None,
    })
}

/// `frames` as the format writes them: a step after a colon, where frame sequences
/// have it after an x.
fn ranges(frames: &FrameList) -> String {
    let one = |(range, step): (crate::frame::FrameRange, u32)| match step {
        1 => range.to_string(),
        _ => format!("{range}:{step}"),
    };
    frames.stretches().map(one).collect::<Vec<_>>().join(",")
}

fn step(farm: &Farm, step: &Step) -> JobStep {
    let piece = |name: &'static str, range: String, count: String| {
        let space = Space {
            task_parameter_definitions: [TaskParameter {
                name,
                r#type: "CHUNK[INT]",
                range,
                chunks: Chunks {
                    default_task_count: count,
                    range_constraint: "CONTIGUOUS",
                },
            }],
        };
        (Some(space), Some(format!("{{{{Task.Param.{name}}}}}")))
    };
    let (parameter_space, piece) = match &step.tasks {
        Tasks::Frames { count, .. } => {
            let range = if only(farm).is_some() { ONLY } else { "frames" };
            let chunk = farm.settings.iter().any(|s| s.param.name == "blockFrames");
            let count = match chunk {
                true => reference("blockFrames"),
                false => count.to_string(),
            };
            piece("Frame", reference(range), count)
        }
        Tasks::Blocks(count) if *count > 1 => piece("Block", format!("1-{count}"), "1".to_owned()),
        Tasks::Blocks(_) | Tasks::Looks => (None, None),
    };
    let mut args = farm.command(step, piece.as_deref(), |s| reference(&s.param.name));
    args.extend(["--progress-style", "openjd"].map(str::to_owned));
    let needs = &farm.needs;
    let mut amounts = vec![Amount {
        name: "amount.worker.vcpu",
        min: needs.cpus as u64,
    }];
    amounts.extend(needs.memory.map(|bytes| Amount {
        name: "amount.worker.memory",
        min: bytes.div_ceil(1 << 20),
    }));
    // The least: with more the work goes faster, but a worker with less can do it.
    let gpu_memory = needs
        .gpu_memory_least
        .map_or(0, |bytes| bytes.div_ceil(1 << 20));
    let more = [
        ("amount.worker.gpu", needs.gpus as u64),
        ("amount.worker.gpu.memory", gpu_memory),
        (
            "amount.worker.disk.scratch",
            needs.scratch.div_ceil(1 << 30),
        ),
    ];
    let more = more.into_iter().filter(|(_, min)| *min > 0);
    amounts.extend(more.map(|(name, min)| Amount { name, min }));
    let after = step.after.iter().map(|&at| Dependency {
        depends_on: farm.steps[at].name.clone(),
    });
    JobStep {
        name: step.name.clone(),
        dependencies: after.collect(),
        parameter_space,
        host_requirements: Requirements { amounts },
        script: Script {
            actions: Actions {
                on_run: Action {
                    command: reference(PROGRAM),
                    args,
                    cancelation: Cancelation {
                        mode: "NOTIFY_THEN_TERMINATE",
                        notify_period_in_seconds: NOTICE,
                    },
                },
            },
        },
    }
}

fn reference(name: &str) -> String {
    format!("{{{{Param.{name}}}}}")
}

fn parameter(setting: &Setting) -> Parameter {
    let param = setting.param;
    let bound = |v: Option<f64>| {
        v.map(|v| match param.kind {
            ParamKind::Int => Value::Int(v as i64),
            _ => Value::Double(v),
        })
    };
    // Paths differ from machine to machine: they have no default, only a value.
    let default = (!setting.is_path()).then(|| said(&setting.value));
    let (kind, control) = match param.kind {
        ParamKind::Int => ("INT", "SPIN_BOX"),
        ParamKind::Double => ("FLOAT", "SPIN_BOX"),
        ParamKind::Bool => ("STRING", "CHECK_BOX"),
        ParamKind::Choice => ("STRING", "DROPDOWN_LIST"),
        ParamKind::File if is_written(&param.name) => ("PATH", "CHOOSE_OUTPUT_FILE"),
        ParamKind::File => ("PATH", "CHOOSE_INPUT_FILE"),
        ParamKind::Folder => ("PATH", "CHOOSE_DIRECTORY"),
        _ => ("STRING", "LINE_EDIT"),
    };
    let allowed_values = match param.kind {
        ParamKind::Bool => vec!["on".to_owned(), "off".to_owned()],
        ParamKind::Choice => param.options.clone(),
        _ => Vec::new(),
    };
    let number = matches!(param.kind, ParamKind::Int | ParamKind::Double);
    let object = match param.kind {
        ParamKind::File => Some("FILE"),
        ParamKind::Folder => Some("DIRECTORY"),
        _ => None,
    };
    Parameter {
        name: param.name.clone(),
        r#type: kind,
        object_type: object,
        // A pattern is no file that could be carried about: the references list
        // the files.
        data_flow: object.map(|_| "NONE"),
        default,
        allowed_values,
        min_length: (control == "LINE_EDIT").then_some(1),
        min_value: bound(param.min).filter(|_| number),
        max_value: bound(param.max).filter(|_| number),
        description: cut(&param.hint, DESCRIPTION),
        user_interface: Interface {
            control,
            label: cut(&param.label, NAME),
            group_label: cut(setting.group, NAME),
            decimals: (param.kind == ParamKind::Double).then_some(3),
            single_step_delta: (param.kind == ParamKind::Double).then_some(0.05),
        },
    }
}

/// A value as a parameter of the format has it: numbers as numbers, all else as the
/// command line takes it.
fn said(value: &Value) -> Value {
    match value {
        Value::Int(_) | Value::Double(_) => value.clone(),
        other => Value::Text(other.to_string()),
    }
}

fn cut(text: &str, letters: usize) -> String {
    text.chars().take(letters).collect()
}

fn values(farm: &Farm) -> ParameterValues {
    let settings = farm.settings.iter().chain(&farm.looks);
    let mut values: Vec<ParameterValue> = settings
        .map(|s| ParameterValue {
            name: s.param.name.clone(),
            value: said(&s.value),
        })
        .collect();
    if let Some((range, _)) = only(farm) {
        values.push(ParameterValue {
            name: ONLY.to_owned(),
            value: Value::Text(range),
        });
    }
    values.push(ParameterValue {
        name: PROGRAM.to_owned(),
        value: Value::Text(farm.program.clone()),
    });
    ParameterValues {
        parameter_values: values,
    }
}

fn assets(farm: &Farm) -> Assets {
    let text = |paths: &[PathBuf]| paths.iter().map(|p| p.display().to_string()).collect();
    Assets {
        asset_references: References {
            inputs: Inputs {
                filenames: text(&farm.inputs),
                directories: [],
            },
            outputs: Outputs {
                directories: text(&farm.outputs),
            },
            referenced_paths: [],
        },
    }
}
