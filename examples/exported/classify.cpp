// Probabilities of a clip by a model of `video-rs export`, with OpenVINO, which reads .xml and .onnx.
//
//     pip install openvino
//     OV=$(python -c "import openvino, pathlib; print(pathlib.Path(openvino.__file__).parent)")
//     g++ -std=c++17 classify.cpp -I $OV/include -L $OV/libs -l:$(cd $OV/libs && ls libopenvino.so.*) \
//         -Wl,-rpath,$OV/libs -o classify
//     ./classify model.xml 32 256 256 < clip.rgb
//
// Standard input is a clip as bytes: RGB of its frames one after the other, [T, H, W, 3].
#include <openvino/openvino.hpp>

#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

int main(int argc, char** argv) {
    if (argc != 5) {
        std::fprintf(stderr, "usage: classify MODEL FRAMES HEIGHT WIDTH < clip.rgb\n");
        return 2;
    }
    const size_t frames = std::stoul(argv[2]), height = std::stoul(argv[3]), width = std::stoul(argv[4]);
    const size_t pixels = frames * height * width;
    std::vector<uint8_t> rgb(3 * pixels);
    if (std::fread(rgb.data(), 1, rgb.size(), stdin) != rgb.size()) {
        std::fprintf(stderr, "the clip has fewer than %zu bytes\n", rgb.size());
        return 2;
    }

    // [T, H, W, 3] -> [1, 3, T, H, W]: all of red, then all of green, then all of blue.
    ov::Tensor clips(ov::element::u8, {1, 3, frames, height, width});
    uint8_t* values = clips.data<uint8_t>();
    for (size_t pixel = 0; pixel < pixels; ++pixel)
        for (size_t channel = 0; channel < 3; ++channel) values[channel * pixels + pixel] = rgb[3 * pixel + channel];

    ov::Core core;
    // Some machines would round to bfloat16.
    auto model = core.compile_model(argv[1], "CPU", ov::hint::inference_precision(ov::element::f32));
    auto request = model.create_infer_request();
    request.set_input_tensor(clips);
    request.infer();

    const ov::Tensor probabilities = request.get_output_tensor();
    for (size_t place = 0; place < probabilities.get_size(); ++place)
        std::printf("%zu %.7f\n", place, probabilities.data<float>()[place]);
}
