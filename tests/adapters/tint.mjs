// Judges all shader modules by Tint, the compiler of browsers that are built on Dawn: `node tint.mjs SHADERS PACKAGES`.
// SHADERS: the folder that the test `shaders::every_module_is_written` filled; PACKAGES: where npm put `webgpu`. What
// needs no subgroups and no arithmetic in f16 is built on a device with WebGPU's default limits and no features. Dawn's adapter that runs nothing
// is enough; with a third word, `vulkan`, the driver that VK_DRIVER_FILES names has to build every pipeline as well,
// which takes SwiftShader many minutes.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [shaders, packages, backend = "null"] = process.argv.slice(2);
if (!packages) throw new Error("usage: node tint.mjs SHADERS PACKAGES [vulkan]");
const found = createRequire(resolve(packages, "package.json")).resolve("webgpu");
const { create, globals } = await import(pathToFileURL(found));
Object.assign(globalThis, globals);

const gpu = create([`backend=${backend}`]);

async function device(requiredFeatures) {
    const adapter = await gpu.requestAdapter();
    if (!adapter) throw new Error("no adapter: does VK_DRIVER_FILES name a Vulkan driver?");
    return adapter.requestDevice({ requiredFeatures });
}

const devices = {
    plain: await device([]),
    subgroups: await device(["subgroups"]),
    f16: await device(["shader-f16"]),
};

// The validation errors of what `work` does on the device.
async function errors(device, work) {
    device.pushErrorScope("validation");
    const told = await work();
    const error = await device.popErrorScope();
    return told.length || !error ? told : [error.message];
}

// Everything that Tint has to say about a module; warnings count.
async function judge([stem, kind, entries, access]) {
    const device = devices[kind];
    const text = readFileSync(join(shaders, `${stem}.wgsl`), "utf8");
    const code = kind === "subgroups" ? `enable subgroups;\n${text}` : text;
    const lines = code.split("\n");
    let module;
    const wrong = await errors(device, async () => {
        module = device.createShaderModule({ code });
        const { messages } = await module.getCompilationInfo();
        return messages.map((m) => `${m.lineNum}:${m.linePos} ${m.type}: ${m.message}\n    ${lines[m.lineNum - 1]}`);
    });
    if (wrong.length) return wrong;
    const visibility = GPUShaderStage.COMPUTE;
    const storage = access.split(",").map((letter) => ({ type: letter === "r" ? "read-only-storage" : "storage" }));
    const buffers = [...storage, { type: "uniform", hasDynamicOffset: true }];
    return errors(device, async () => {
        const group = device.createBindGroupLayout({
            entries: buffers.map((buffer, binding) => ({ binding, visibility, buffer })),
        });
        const layout = device.createPipelineLayout({ bindGroupLayouts: [group] });
        // One after the other: many at once end node.
        for (const entryPoint of entries.split(",")) {
            device.createComputePipeline({ layout, compute: { module, entryPoint } });
        }
        return [];
    });
}

// What needs units for small matrices, an experiment of wgpu's own, no browser gets.
const all = readFileSync(join(shaders, "index.tsv"), "utf8").trimEnd().split("\n");
const index = all.filter((line) => line.split("\t")[1] !== "squares");
const refused = [];
for (const line of index) {
    const row = line.split("\t");
    const wrong = await judge(row);
    if (wrong.length) {
        refused.push(row[0]);
        console.error(`${row[0]} ${row[4]}\n${wrong.join("\n")}\n`);
    }
}
console.log(`Tint: ${index.length - refused.length} of ${index.length} modules pass`);
// Devices that are still open would keep node alive.
process.exit(refused.length ? 1 : 0);
