<?php
[, $installed, $folder] = $argv;
foreach (['plain' => null, 'gz' => Phar::GZ] as $name => $compression) {
    $phar = new Phar("$folder/$name.phar");
    $phar->startBuffering();
    $phar['src/main.php'] = '<?php echo 1;';
    $phar['vendor/composer/autoload_real.php'] = '<?php';
    $phar['vendor/composer/installed.json'] = file_get_contents($installed);
    $phar->setStub("#!/usr/bin/env php\n<?php require 'phar://' . __FILE__ . '/src/main.php'; __HALT_COMPILER();");
    if ($compression) {
        $phar->compressFiles($compression);
    }
    $phar->stopBuffering();
}
(new PharData("$folder/own.zip"))->addFile($installed, 'vendor/composer/installed.json');
rename("$folder/own.zip", "$folder/zip.phar");
