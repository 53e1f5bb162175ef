// Compiles compute shaders with Mesa's RADV, for a chip that need not be there, and prints what its compiler made of
// them. `cargo bench --bench gpu` builds and runs it; RADV_FORCE_FAMILY names the chip.
//
// Each line of standard input is `FILE ENTRY STORAGE`: SPIR-V, an entry point, and the number of storage buffers, which
// are bindings 0 on of set 0; a uniform buffer follows them. The answer to each is a line `begin`, a line
// `NAME=VALUE` for each statistic, the machine code, and a line `end`.
//
// With an argument it names a file for the driver's cache of pipelines, which is read before and written after; then the
// answer is one line, how long the driver took: `./radv FILE < jobs`, twice, in the folder of what it built.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <vulkan/vulkan.h>

static VkDevice device;
static VkPipelineCache cache = VK_NULL_HANDLE;
// Where a cache is kept, nothing else is asked for: drivers may keep no pipelines that tell of themselves.
static const char *kept = NULL;
static double milliseconds = 0;
static PFN_vkGetPipelineExecutableStatisticsKHR statistics;
static PFN_vkGetPipelineExecutableInternalRepresentationsKHR representations;

static void must(VkResult result, const char *what) {
    if (result >= 0) return;
    fprintf(stderr, "%s failed with %d\n", what, result);
    exit(1);
}

static void *zeroed(size_t count, size_t size) {
    void *memory = calloc(count ? count : 1, size);
    if (!memory) exit(1);
    return memory;
}

// The whole of a file, or nothing.
static void *content(const char *path, size_t *bytes) {
    FILE *file = fopen(path, "rb");
    *bytes = 0;
    if (!file || fseek(file, 0, SEEK_END)) return NULL;
    *bytes = (size_t)ftell(file);
    rewind(file);
    void *all = zeroed(*bytes, 1);
    if (fread(all, 1, *bytes, file) != *bytes) exit(1);
    fclose(file);
    return all;
}

// Gives the driver what it kept before; the bytes of that.
static size_t open_cache(void) {
    size_t bytes;
    void *before = content(kept, &bytes);
    VkPipelineCacheCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO, .initialDataSize = bytes, .pInitialData = before,
    };
    must(vkCreatePipelineCache(device, &info, NULL, &cache), "vkCreatePipelineCache");
    free(before);
    return bytes;
}

// Writes what the driver has now; the bytes of that.
static size_t keep_cache(void) {
    size_t bytes = 0;
    must(vkGetPipelineCacheData(device, cache, &bytes, NULL), "vkGetPipelineCacheData");
    void *now = zeroed(bytes, 1);
    must(vkGetPipelineCacheData(device, cache, &bytes, now), "vkGetPipelineCacheData");
    FILE *file = fopen(kept, "wb");
    if (!file || fwrite(now, 1, bytes, file) != bytes || fclose(file)) exit(1);
    free(now);
    return bytes;
}

// The processor's time of this process: others on the machine do not count.
static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return 1e3 * (double)time.tv_sec + 1e-6 * (double)time.tv_nsec;
}

// The first device that the loader finds. Buffers are bounded by no checks, as in an engine that trusts its shaders.
static void open_device(void) {
    VkApplicationInfo app = {.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO, .apiVersion = VK_API_VERSION_1_3};
    VkInstanceCreateInfo about = {.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO, .pApplicationInfo = &app};
    VkInstance instance;
    must(vkCreateInstance(&about, NULL, &instance), "vkCreateInstance");
    uint32_t count = 1;
    VkPhysicalDevice physical;
    must(vkEnumeratePhysicalDevices(instance, &count, &physical), "vkEnumeratePhysicalDevices");
    if (!count) {
        fprintf(stderr, "the driver offers no device\n");
        exit(1);
    }
    VkPhysicalDeviceProperties properties;
    vkGetPhysicalDeviceProperties(physical, &properties);
    VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR executables = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PIPELINE_EXECUTABLE_PROPERTIES_FEATURES_KHR,
        .pipelineExecutableInfo = VK_TRUE,
    };
    // All that the driver has, arithmetic in f16 among it.
    VkPhysicalDeviceVulkan11Features v11 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES};
    VkPhysicalDeviceVulkan12Features v12 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES, .pNext = &v11};
    VkPhysicalDeviceVulkan13Features v13 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_FEATURES, .pNext = &v12};
    VkPhysicalDeviceFeatures2 features = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, .pNext = &v13};
    vkGetPhysicalDeviceFeatures2(physical, &features);
    features.features.robustBufferAccess = VK_FALSE;
    v11.pNext = &executables;
    v13.robustImageAccess = VK_FALSE;
    float priority = 1;
    VkDeviceQueueCreateInfo queue = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO, .queueCount = 1, .pQueuePriorities = &priority,
    };
    const char *extension = VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME;
    VkDeviceCreateInfo create = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO, .pNext = &features,
        .queueCreateInfoCount = 1, .pQueueCreateInfos = &queue,
        .enabledExtensionCount = 1, .ppEnabledExtensionNames = &extension,
    };
    must(vkCreateDevice(physical, &create, NULL, &device), "vkCreateDevice");
    statistics = (void *)vkGetDeviceProcAddr(device, "vkGetPipelineExecutableStatisticsKHR");
    representations = (void *)vkGetDeviceProcAddr(device, "vkGetPipelineExecutableInternalRepresentationsKHR");
    printf("%s\n", properties.deviceName);
}

static VkPipeline build(const uint32_t *words, size_t bytes, const char *entry, uint32_t storage) {
    VkDescriptorSetLayoutBinding *bindings = zeroed(storage + 1, sizeof *bindings);
    for (uint32_t i = 0; i <= storage; i++) {
        bindings[i].binding = i;
        bindings[i].descriptorType =
            i < storage ? VK_DESCRIPTOR_TYPE_STORAGE_BUFFER : VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER_DYNAMIC;
        bindings[i].descriptorCount = 1;
        bindings[i].stageFlags = VK_SHADER_STAGE_COMPUTE_BIT;
    }
    VkDescriptorSetLayoutCreateInfo set_info = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO, .bindingCount = storage + 1, .pBindings = bindings,
    };
    VkDescriptorSetLayout set;
    must(vkCreateDescriptorSetLayout(device, &set_info, NULL, &set), "vkCreateDescriptorSetLayout");
    VkPipelineLayoutCreateInfo layout_info = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO, .setLayoutCount = 1, .pSetLayouts = &set,
    };
    VkPipelineLayout layout;
    must(vkCreatePipelineLayout(device, &layout_info, NULL, &layout), "vkCreatePipelineLayout");
    VkShaderModuleCreateInfo module_info = {
        .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO, .codeSize = bytes, .pCode = words,
    };
    VkShaderModule module;
    must(vkCreateShaderModule(device, &module_info, NULL, &module), "vkCreateShaderModule");
    VkComputePipelineCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
        .flags = kept ? 0 : VK_PIPELINE_CREATE_CAPTURE_STATISTICS_BIT_KHR
            | VK_PIPELINE_CREATE_CAPTURE_INTERNAL_REPRESENTATIONS_BIT_KHR,
        .layout = layout,
    };
    info.stage.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO;
    // wgpu leaves the size of subgroups to the driver.
    info.stage.flags = VK_PIPELINE_SHADER_STAGE_CREATE_ALLOW_VARYING_SUBGROUP_SIZE_BIT;
    info.stage.stage = VK_SHADER_STAGE_COMPUTE_BIT;
    info.stage.module = module;
    info.stage.pName = entry;
    VkPipeline pipeline;
    double start = now();
    must(vkCreateComputePipelines(device, cache, 1, &info, NULL, &pipeline), "vkCreateComputePipelines");
    milliseconds += now() - start;
    free(bindings);
    return pipeline;
}

static void report(VkPipeline pipeline) {
    VkPipelineExecutableInfoKHR info = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INFO_KHR, .pipeline = pipeline,
    };
    uint32_t count = 0;
    must(statistics(device, &info, &count, NULL), "vkGetPipelineExecutableStatisticsKHR");
    VkPipelineExecutableStatisticKHR *all = zeroed(count, sizeof *all);
    for (uint32_t i = 0; i < count; i++) all[i].sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_STATISTIC_KHR;
    must(statistics(device, &info, &count, all), "vkGetPipelineExecutableStatisticsKHR");
    for (uint32_t i = 0; i < count; i++) {
        if (all[i].format == VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_UINT64_KHR) {
            printf("%s=%llu\n", all[i].name, (unsigned long long)all[i].value.u64);
        }
    }
    free(all);
    count = 0;
    must(representations(device, &info, &count, NULL), "vkGetPipelineExecutableInternalRepresentationsKHR");
    VkPipelineExecutableInternalRepresentationKHR *texts = zeroed(count, sizeof *texts);
    for (uint32_t i = 0; i < count; i++) {
        texts[i].sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INTERNAL_REPRESENTATION_KHR;
    }
    must(representations(device, &info, &count, texts), "vkGetPipelineExecutableInternalRepresentationsKHR");
    for (uint32_t i = 0; i < count; i++) texts[i].pData = zeroed(texts[i].dataSize + 1, 1);
    must(representations(device, &info, &count, texts), "vkGetPipelineExecutableInternalRepresentationsKHR");
    for (uint32_t i = 0; i < count; i++) {
        if (!strcmp(texts[i].name, "Assembly")) printf("%.*s\n", (int)texts[i].dataSize, (char *)texts[i].pData);
        free(texts[i].pData);
    }
    free(texts);
}

int main(int count, char **arguments) {
    char path[4096], entry[256];
    unsigned storage, built = 0;
    size_t before = 0;
    open_device();
    if (count > 1) {
        kept = arguments[1];
        before = open_cache();
    }
    while (scanf("%4095s %255s %u", path, entry, &storage) == 3) {
        size_t bytes;
        uint32_t *words = content(path, &bytes);
        if (!words) {
            perror(path);
            return 1;
        }
        VkPipeline pipeline = build(words, bytes, entry, storage);
        built++;
        if (!kept) {
            printf("begin\n");
            report(pipeline);
            printf("end\n");
        }
        fflush(stdout);
        free(words);
    }
    if (kept) printf("%u pipelines in %.1f ms, %zu bytes kept before, %zu now\n", built, milliseconds, before, keep_cache());
    return 0;
}
