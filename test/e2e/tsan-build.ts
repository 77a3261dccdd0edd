/** Imported before instance.ts, which then takes keeper and module of `make -C native-shim tsan`. */
process.env['SIDEKEY_BUILD'] = 'build-tsan';
