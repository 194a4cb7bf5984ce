"""Public data sets, and folders of one's own, as list files.

Each source is a module with an options object and a function that writes the list, its label map and, for some sources,
a config, and returns the lines of a report for people:

- ``folder.make_list(FolderOptions)``: one's own videos in class folders
- ``hmdb51.make_list(SplitOptions)``: HMDB51
- ``kinetics.make_list(KineticsOptions)``: Kinetics-400, -600 and -700
- ``ssv2.make_list(Ssv2Options)``: Something-Something v2
- ``ucf101.make_list(SplitOptions)``: UCF101

Official lists are matched with the files that are there. No video is opened, and nothing runs on import; the commands
are in ``datasets/``.
"""
