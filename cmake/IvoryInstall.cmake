# The installed SDK: headers, the core library, tools, plugins and a CMake package (find_package(Ivory)).
# Components: `sdk` is what a plugin is built against, `plugins` Ivory's own methods, `tools` the programs and the rest.
include(CMakePackageConfigHelpers)
set(ivory_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/Ivory)

install(TARGETS ivory_core EXPORT IvoryTargets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT sdk)
install(TARGETS ivory_headers EXPORT IvoryTargets)
install(DIRECTORY core/include/ivory DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT sdk)
# What `ivory plugins new` copies; the build tree has a link to it in the same place.
install(DIRECTORY docs/examples/new DESTINATION ${CMAKE_INSTALL_LIBDIR}/ivory COMPONENT sdk)
file(MAKE_DIRECTORY ${CMAKE_LIBRARY_OUTPUT_DIRECTORY}/ivory)
file(CREATE_LINK ${PROJECT_SOURCE_DIR}/docs/examples/new ${CMAKE_LIBRARY_OUTPUT_DIRECTORY}/ivory/new SYMBOLIC)
install(EXPORT IvoryTargets FILE IvoryTargets-export.cmake NAMESPACE Ivory:: DESTINATION ${ivory_package_dir}
  COMPONENT sdk)
string(REGEX MATCH "^[0-9]+" IVORY_COMPILER_MAJOR ${CMAKE_CXX_COMPILER_VERSION})
get_filename_component(IVORY_COMPILER_NAME ${CMAKE_CXX_COMPILER} NAME)
configure_package_config_file(cmake/IvoryConfig.cmake.in ${PROJECT_BINARY_DIR}/IvoryConfig.cmake
  INSTALL_DESTINATION ${ivory_package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/IvoryConfigVersion.cmake COMPATIBILITY ExactVersion)
install(FILES ${PROJECT_BINARY_DIR}/IvoryConfig.cmake ${PROJECT_BINARY_DIR}/IvoryConfigVersion.cmake
  cmake/FindLibTorch.cmake cmake/IvoryPlugin.cmake DESTINATION ${ivory_package_dir} COMPONENT sdk)

install(TARGETS ivory_data ivory_ingest LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT tools)
install(TARGETS run-experiment ivory ivory-dicom RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT tools)
if(TARGET ivory_cuda)
  install(TARGETS ivory_cuda LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT tools)
endif()
