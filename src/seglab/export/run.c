/* Loads the model of this folder with OpenVINO's C library, runs the example and compares the answer. No Python is
 * needed to run it. To build it against the library that the Python package brings along:
 *
 *     P=$(python -c "import importlib.util as u; print(u.find_spec('openvino').submodule_search_locations[0])")
 *     L=$(ls $P/libs/libopenvino_c.so.* | head -1)
 *     gcc -O2 run.c -o run -I$P/include "$L" -Wl,-rpath,$P/libs -Wl,--allow-shlib-undefined -lm
 *     ./run model.xml example_in.npy example_out.npy 1e-4
 *
 * It prints the largest difference of a number of the answer, and leaves with 0 where that is small enough. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openvino/c/openvino.h>

#define MOST_AXES 8

typedef struct {
    int64_t shape[MOST_AXES];
    int axes;
    size_t count;
    float *values;
} array;

static void fail(const char *what, const char *which) {
    fprintf(stderr, "error: %s: %s\n", what, which);
    exit(1);
}

static void check(ov_status_e status, const char *what) {
    if (status != OK) fail(what, ov_get_error_info(status));
}

/* Reads an array of float32 in C order, as numpy.save writes it. */
static array read_npy(const char *name) {
    FILE *file = fopen(name, "rb");
    unsigned char start[10];
    char *header;
    array found = {{0}, 0, 1, NULL};

    if (!file) fail("cannot open", name);
    if (fread(start, 1, 10, file) != 10 || memcmp(start, "\x93NUMPY\x01", 7)) fail("no array of NumPy", name);
    size_t length = start[8] + 256 * (size_t)start[9];
    header = calloc(length + 1, 1);
    if (!header || fread(header, 1, length, file) != length) fail("cut off", name);
    if (!strstr(header, "'<f4'") || strstr(header, "True")) fail("not float32 in C order", name);
    char *at = strstr(header, "'shape': (");
    if (!at) fail("without a shape", name);
    for (at += strlen("'shape': ("); *at && *at != ')' && found.axes < MOST_AXES;) {
        long long side = strtoll(at, &at, 10);
        if (side < 1) fail("a side below 1", name);
        found.shape[found.axes++] = side;
        found.count *= (size_t)side;
        at += strspn(at, ", ");
    }
    found.values = malloc(found.count * sizeof(float));
    if (!found.values || fread(found.values, sizeof(float), found.count, file) != found.count) fail("cut off", name);
    free(header);
    fclose(file);
    return found;
}

int main(int argc, char **argv) {
    ov_core_t *core = NULL;
    ov_model_t *model = NULL;
    ov_compiled_model_t *compiled = NULL;
    ov_infer_request_t *request = NULL;
    ov_tensor_t *given = NULL, *answered = NULL;
    ov_shape_t shape;
    void *data = NULL;
    size_t count = 0;
    double largest = 0;

    if (argc != 5) fail("usage", "run model.xml example_in.npy example_out.npy <largest difference>");
    array in = read_npy(argv[2]), out = read_npy(argv[3]);
    check(ov_core_create(&core), "OpenVINO");
    check(ov_core_read_model(core, argv[1], NULL, &model), argv[1]);
    /* Without this, processors that have bfloat16 compute in it. */
    check(ov_core_compile_model(core, model, "CPU", 2, &compiled, "INFERENCE_PRECISION_HINT", "f32"), "compiling");
    check(ov_compiled_model_create_infer_request(compiled, &request), "a request");
    check(ov_shape_create(in.axes, in.shape, &shape), "a shape");
    check(ov_tensor_create_from_host_ptr(F32, shape, in.values, &given), "the input");
    check(ov_infer_request_set_input_tensor(request, given), "the input");
    check(ov_infer_request_infer(request), "running");
    check(ov_infer_request_get_output_tensor(request, &answered), "the answer");
    check(ov_tensor_get_size(answered, &count), "the answer");
    check(ov_tensor_data(answered, &data), "the answer");
    if (count != out.count) fail("an answer of another size", argv[3]);
    for (size_t i = 0; i < count; i++) {
        double off = fabs((double)((float *)data)[i] - out.values[i]);
        if (isnan(off)) fail("an answer that is no number", argv[1]);
        if (off > largest) largest = off;
    }
    printf("%.3g\n", largest);
    ov_tensor_free(answered);
    ov_tensor_free(given);
    ov_shape_free(&shape);
    ov_infer_request_free(request);
    ov_compiled_model_free(compiled);
    ov_model_free(model);
    ov_core_free(core);
    free(in.values);
    free(out.values);
    return largest <= atof(argv[4]) ? 0 : 1;
}
